#include "gallery.hpp"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>

namespace {

// Where the arrays lie: in version 1 beside the manifest, in 1.1 where the version put them that first had them.
Tensor read(const std::filesystem::path& folder, const std::string& file, const std::string& digest) {
  if (!std::regex_match(file, std::regex("[0-9]{6}/[a-z_]+(-[0-9]+)?\\.npy"))) {
    throw std::runtime_error(folder.string() + ": '" + file + "' is not the name of a gallery's array");
  }
  return parse_npy(checked_file(folder / file, digest), file);
}

Tensor read_role(const std::filesystem::path& folder, const Json& manifest, const std::string& role) {
  const Json& files = manifest["files"];
  if (manifest["schema"].text() == "facings.gallery/1.1") {
    return read(folder, files[role]["file"].text(), files[role]["sha256"].text());
  }
  return read(folder, manifest["version"].text() + "/" + role + ".npy", files[role + ".npy"].text());
}

std::vector<Tensor> read_segments(const std::filesystem::path& folder, const Json& manifest) {
  if (manifest["schema"].text() != "facings.gallery/1.1") return {read_role(folder, manifest, "vectors")};
  std::vector<Tensor> found;
  for (const Json& entry : manifest["segments"].list()) {
    found.push_back(read(folder, entry["file"].text(), entry["sha256"].text()));
  }
  return found;
}

// Rows of products that are not retired, their owners counted among these products alone.
void answer(Gallery& gallery, const Json& manifest, const std::vector<Tensor>& segments, const Tensor& owner) {
  std::set<std::string> retired;
  if (manifest.has("retired")) {
    for (const Json& name : manifest["retired"].list()) retired.insert(name.text());
  }
  std::vector<int64_t> number;  // of each enrolled product among the answered ones, -1 for the retired
  for (const Json& name : manifest["items"].list()) {
    bool answered = retired.count(name.text()) == 0;
    number.push_back(answered ? static_cast<int64_t>(gallery.items.size()) : -1);
    if (answered) gallery.items.push_back(name.text());
  }
  std::vector<float> vectors;
  std::vector<int64_t> item;
  int64_t row = 0, dimension = segments.empty() || segments[0].shape.size() != 2 ? 0 : segments[0].shape[1];
  for (const Tensor& segment : segments) {
    bool fits = segment.type == Type::float32 && segment.shape.size() == 2 && segment.shape[1] == dimension;
    if (!fits || row + segment.shape[0] > owner.count()) throw std::runtime_error("gallery: arrays that do not fit each other");
    for (int64_t local = 0; local < segment.shape[0]; ++local, ++row) {
      int64_t index = owner.data<int64_t>()[row];  // -1: a view of no product any more
      if (index < 0 || number.at(static_cast<size_t>(index)) < 0) continue;
      item.push_back(number[static_cast<size_t>(index)]);
      const float* view = segment.floats() + local * dimension;
      vectors.insert(vectors.end(), view, view + dimension);
    }
  }
  if (row != owner.count()) throw std::runtime_error("gallery: fewer views than owners");
  auto count = static_cast<int64_t>(item.size());
  gallery.vectors = Tensor::of(Type::float32, {count, dimension}, vectors);
  gallery.item = Tensor::of(Type::int64, {count}, item);
}

}  // namespace

Gallery Gallery::open(const std::filesystem::path& folder, const std::string& embedder_sha256) {
  std::string pointer = read_file(folder / "CURRENT");
  std::smatch parts;
  if (!std::regex_match(pointer, parts, std::regex("([0-9]{6}) ([0-9a-f]{64})\n"))) {
    throw std::runtime_error((folder / "CURRENT").string() + ": expected one line 'VERSION SHA256'");
  }
  Gallery gallery;
  gallery.version = parts.str(1);
  std::filesystem::path path = folder / gallery.version / "manifest.json";
  Json manifest = parse_json(checked_file(path, parts.str(2)), path.string());
  const std::string& schema = manifest["schema"].text();
  if (schema != "facings.gallery/1" && schema != "facings.gallery/1.1") {
    throw std::runtime_error(path.string() + ": schema is '" + schema + "'; expected facings.gallery/1 or 1.1");
  }
  if (manifest["version"].text() != gallery.version) throw std::runtime_error(path.string() + ": is of another version");
  if (manifest["embedder_sha256"].text() != embedder_sha256) {
    throw std::runtime_error(path.string() + ": was made with another embedder; enroll again");
  }
  Tensor owner = read_role(folder, manifest, "item"), scores = read_role(folder, manifest, "calibration_scores");
  if (owner.type != Type::int64 || scores.type != Type::float32) throw std::runtime_error("gallery: arrays of wrong types");
  answer(gallery, manifest, read_segments(folder, manifest), owner);
  gallery.scores.assign(scores.floats(), scores.floats() + scores.count());
  std::sort(gallery.scores.begin(), gallery.scores.end());
  gallery.products = manifest["products"];
  return gallery;
}
