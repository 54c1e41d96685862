#include "detections.hpp"

#include <algorithm>
#include <cmath>

namespace {

float area(const Box& box) { return std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f); }

float iou(const Box& a, const Box& b) {
  float shared = area({std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]), std::min(a[3], b[3])});
  float together = area(a) + area(b) - shared;
  return together > 0 ? shared / std::max(together, 1e-12f) : 0.0f;
}

// Greedy non-maximum suppression: a box goes when its IoU with a better one is above the threshold.
std::vector<Detection> suppressed(const std::vector<Detection>& found, float threshold) {
  std::vector<Detection> kept;
  for (const Detection& one : found) {
    auto covers = [&](const Detection& better) { return iou(better.box, one.box) > threshold; };
    if (std::none_of(kept.begin(), kept.end(), covers)) kept.push_back(one);
  }
  return kept;
}

}  // namespace

std::vector<Detection> in_picture(const std::map<std::string, Tensor>& outputs, int64_t height, int64_t width) {
  const float* transform = outputs.at("transform").floats();
  const Tensor& scores = outputs.at("scores");
  const float* corners = outputs.at("boxes").floats();
  const float limits[] = {static_cast<float>(width), static_cast<float>(height)};
  auto attributes = outputs.find("attributes");
  std::vector<Detection> found;
  for (int64_t n = 0; n < scores.count(); ++n) {
    Detection one{{}, scores.floats()[n], {}};
    for (size_t side = 0; side < 4; ++side) {
      float place = (corners[4 * n + static_cast<int64_t>(side)] - transform[2 + side % 2]) / transform[side % 2];
      one.box[side] = std::min(std::max(place, 0.0f), limits[side % 2]);
    }
    if (!(area(one.box) > 0) || !(one.score > 0)) continue;
    if (attributes != outputs.end()) {
      int64_t told = attributes->second.count() / scores.count();
      const float* first = attributes->second.floats() + n * told;
      one.attributes.assign(first, first + told);
    }
    found.push_back(one);
  }
  std::stable_sort(found.begin(), found.end(), [](const Detection& a, const Detection& b) { return a.score > b.score; });
  return found;
}

std::vector<Detection> selected(const std::vector<Detection>& found, const Bundle& bundle, double least) {
  const Json& threshold = bundle.postprocess["nms_iou"];
  std::vector<Detection> kept;
  auto most = static_cast<size_t>(bundle.setting("max_detections"));
  for (const Detection& one : threshold.is_null() ? found : suppressed(found, static_cast<float>(threshold.number()))) {
    if (one.score >= static_cast<float>(least) && kept.size() < most) kept.push_back(one);
  }
  return kept;
}

Tensor cut_crop(const Tensor& image, const Box& box, double margin) {
  const int64_t height = image.shape[0], width = image.shape[1];
  const double x1 = box[0], y1 = box[1], x2 = box[2], y2 = box[3];
  const double wider = (x2 - x1) * margin, higher = (y2 - y1) * margin;
  auto between = [](double value, int64_t low, int64_t high) {
    return std::min(std::max(static_cast<int64_t>(value), low), high);
  };
  const int64_t left = between(std::floor(x1 - wider), 0, width - 1), top = between(std::floor(y1 - higher), 0, height - 1);
  const int64_t right = between(std::ceil(x2 + wider), left + 1, width), bottom = between(std::ceil(y2 + higher), top + 1, height);
  Tensor crop{Type::uint8, {1, bottom - top, right - left, 3}, {}};
  for (int64_t y = top; y < bottom; ++y) {
    auto row = image.bytes.begin() + 3 * (y * width + left);
    crop.bytes.insert(crop.bytes.end(), row, row + 3 * (right - left));
  }
  return crop;
}
