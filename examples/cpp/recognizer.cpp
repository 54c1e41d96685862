#include "recognizer.hpp"

#include <algorithm>
#include <stdexcept>

namespace {

constexpr int64_t kEmbedBatch = 16;
constexpr size_t kGoldenCrops = 8;

Tensor batched(Tensor image) {
  image.shape.insert(image.shape.begin(), 1);
  return image;
}

// Joined along the first side.
Tensor stacked(std::vector<Tensor> parts) {
  Tensor whole = std::move(parts.at(0));
  for (size_t i = 1; i < parts.size(); ++i) {
    whole.bytes.insert(whole.bytes.end(), parts[i].bytes.begin(), parts[i].bytes.end());
    whole.shape[0] += parts[i].shape[0];
  }
  return whole;
}

std::vector<Box> boxes_of(const std::vector<Detection>& found) {
  std::vector<Box> boxes;
  for (const Detection& one : found) boxes.push_back(one.box);
  return boxes;
}

}  // namespace

Recognizer::Recognizer(const Bundle& bundle, const Runtime& runtime) : bundle_(bundle) {
  for (const auto& [role, entry] : bundle.manifest["graphs"].table()) {
    std::vector<std::string> outputs;
    for (const Json& port : entry["outputs"].list()) outputs.push_back(port["name"].text());
    sessions_[role] = std::make_unique<Session>(runtime, bundle.graph(role), outputs);
  }
}

std::vector<Item> Recognizer::recognize(const Tensor& image) const {
  if (!bundle_.postprocess["standard"].is_null()) {
    throw std::runtime_error(bundle_.folder.string() + ": decides by a standard; only thresholds are known here");
  }
  std::vector<Detection> detections = found(image, bundle_.setting("score_threshold"));
  if (!bundle_.gallery || detections.empty()) return decide(detections, nullptr, nullptr, bundle_);
  Tensors matches = match(embed(crops(image, boxes_of(detections))));
  return decide(detections, &matches.at("items"), &matches.at("similarities"), bundle_);
}

Tensors Recognizer::stages(const Tensor& image, const Tensor* crop_boxes) const {
  Tensors arrays;
  if (bundle_.has("detector")) arrays = look(image);
  std::vector<Box> boxes;
  if (crop_boxes != nullptr) {
    for (const float* box = crop_boxes->floats(); box != crop_boxes->floats() + crop_boxes->count(); box += 4) {
      boxes.push_back({box[0], box[1], box[2], box[3]});
    }
  } else {
    boxes = boxes_of(found(image, 0.0));
    boxes.resize(std::min(boxes.size(), kGoldenCrops));
  }
  if (!bundle_.has("embedder") || boxes.empty()) return arrays;
  arrays["crops"] = crops(image, boxes);
  arrays["embeddings"] = embed(arrays["crops"]);
  if (bundle_.gallery) {
    for (auto& [name, tensor] : match(arrays["embeddings"])) arrays[name] = std::move(tensor);
  }
  return arrays;
}

// The letterboxed picture and what the detector says of it.
Tensors Recognizer::look(const Tensor& image) const {
  Tensors arrays = sessions_.at("preprocess")->run({{"image", batched(image)}});
  for (auto& [name, tensor] : sessions_.at("detector")->run({{"pixels", arrays.at("pixels")}})) arrays[name] = std::move(tensor);
  return arrays;
}

// What scores `least` or more, best first; without a detector the whole picture.
std::vector<Detection> Recognizer::found(const Tensor& image, double least) const {
  const int64_t height = image.shape[0], width = image.shape[1];
  if (!bundle_.has("detector")) return {{{0, 0, static_cast<float>(width), static_cast<float>(height)}, 1.0f, {}}};
  const Json& tiles = bundle_.postprocess["tiles"];
  if (!tiles.is_null() && static_cast<double>(std::max(height, width)) > tiles["size"].number()) {
    throw std::runtime_error("the picture is larger than the bundle's tiles: cutting it is not done here");
  }
  return selected(in_picture(look(image), height, width), bundle_, least);
}

Tensor Recognizer::crops(const Tensor& image, const std::vector<Box>& boxes) const {
  std::vector<Tensor> parts;
  for (const Box& box : boxes) {
    Tensor crop = cut_crop(image, box, bundle_.setting("crop_margin"));
    parts.push_back(sessions_.at("crop")->run({{"image", crop}}).at("pixels"));
  }
  return stacked(std::move(parts));
}

Tensor Recognizer::embed(const Tensor& crops) const {
  const int64_t count = crops.shape[0], one = static_cast<int64_t>(crops.bytes.size()) / count;
  std::vector<Tensor> parts;
  for (int64_t start = 0; start < count; start += kEmbedBatch) {
    const int64_t end = std::min(start + kEmbedBatch, count);
    Tensor batch{crops.type, crops.shape, {crops.bytes.begin() + start * one, crops.bytes.begin() + end * one}};
    batch.shape[0] = end - start;
    parts.push_back(sessions_.at("embedder")->run({{"crops", batch}}).at("embeddings"));
  }
  return stacked(std::move(parts));
}

Tensors Recognizer::match(const Tensor& embeddings) const {
  const Gallery& gallery = *bundle_.gallery;
  return sessions_.at("match")->run({{"embeddings", embeddings}, {"gallery", gallery.vectors}, {"item", gallery.item}});
}
