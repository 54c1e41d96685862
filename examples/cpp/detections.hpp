// From a detector's outputs to boxes in pixels of the picture. All sums in float32, as the Python runtime takes them.
#pragma once
#include <array>
#include <map>
#include <string>
#include <vector>

#include "bundle.hpp"

using Box = std::array<float, 4>;  // x1, y1, x2, y2

struct Detection {
  Box box;
  float score;
  std::vector<float> attributes;
};

// What a detector says of one input, best first: cut at the picture's edges, without what lies outside of it.
std::vector<Detection> in_picture(const std::map<std::string, Tensor>& outputs, int64_t height, int64_t width);
// What the bundle's thresholds leave of it.
std::vector<Detection> selected(const std::vector<Detection>& found, const Bundle& bundle, double least);
// The part of `image` (H, W, 3) in a box widened by `margin`, rounded outward, clipped: as training cuts. (1, h, w, 3).
Tensor cut_crop(const Tensor& image, const Box& box, double margin);
