// One frame in, one decision out, through the bundle's float32 graphs.
#pragma once
#include "decision.hpp"
#include "runtime.hpp"

using Tensors = std::map<std::string, Tensor>;

class Recognizer {
 public:
  Recognizer(const Bundle& bundle, const Runtime& runtime);
  const Bundle& bundle() const { return bundle_; }
  // `image`: (H, W, 3) uint8, RGB.
  std::vector<Item> recognize(const Tensor& image) const;
  // The tensors at every stage, as golden samples keep them. `crop_boxes`: (N, 4), or null for the first detections.
  Tensors stages(const Tensor& image, const Tensor* crop_boxes) const;

 private:
  Tensors look(const Tensor& image) const;
  std::vector<Detection> found(const Tensor& image, double least) const;
  Tensor crops(const Tensor& image, const std::vector<Box>& boxes) const;
  Tensor embed(const Tensor& crops) const;
  Tensors match(const Tensor& embeddings) const;

  const Bundle& bundle_;
  std::map<std::string, std::unique_ptr<Session>> sessions_;
};
