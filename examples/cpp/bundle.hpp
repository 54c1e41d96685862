// Opening a bundle: nothing in it is used before its checksum is checked. Knows nothing of inference.
#pragma once
#include <filesystem>
#include <optional>

#include "gallery.hpp"
#include "json.hpp"

struct Bundle {
  std::filesystem::path folder;
  Json manifest, postprocess, products;
  std::optional<Gallery> gallery;

  // Throws std::runtime_error for a missing, changed or added file, a link, or a schema of another major version.
  static Bundle open(const std::filesystem::path& folder);
  bool has(const std::string& role) const { return manifest["graphs"].has(role); }
  std::filesystem::path graph(const std::string& role) const { return member(folder, manifest["graphs"][role]["file"].text()); }
  double setting(const std::string& name) const { return postprocess[name].number(); }
};

// A JSON file whose `schema` is `name/major`, a minor part may follow.
Json read_json(const std::filesystem::path& path, const std::string& name, int major);
