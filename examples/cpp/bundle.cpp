#include "bundle.hpp"

#include <map>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "sha256.hpp"

namespace fs = std::filesystem;

namespace {

std::map<std::string, std::string> listed_sums(const fs::path& folder) {
  std::map<std::string, std::string> listed;
  std::istringstream lines(read_file(folder / "SHA256SUMS"));
  for (std::string line; std::getline(lines, line);) {
    std::smatch parts;
    if (!std::regex_match(line, parts, std::regex("([0-9a-f]{64})  (.+)"))) {
      throw std::runtime_error((folder / "SHA256SUMS").string() + ": expected 'sha256  path', got '" + line + "'");
    }
    listed[parts.str(2)] = parts.str(1);
  }
  return listed;
}

void check_sums(const fs::path& folder) {
  auto listed = listed_sums(folder);
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    fs::file_status status = entry.symlink_status();
    if (fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status)) throw std::runtime_error(entry.path().string() + ": is not a plain file");
    std::string name = entry.path().lexically_relative(folder).generic_string();
    // The gallery changes with every enrolment, and has checksums of its own; a signature signs SHA256SUMS itself.
    if (name == "SHA256SUMS" || name == "signature.json" || name.rfind("gallery/", 0) == 0) continue;
    auto line = listed.find(name);
    if (line == listed.end()) throw std::runtime_error(folder.string() + ": " + name + " is not listed in SHA256SUMS");
    checked_file(entry.path(), line->second);
    listed.erase(line);
  }
  if (!listed.empty()) throw std::runtime_error(folder.string() + ": " + listed.begin()->first + " is listed but missing");
}

}  // namespace

Json read_json(const fs::path& path, const std::string& name, int major) {
  Json content = parse_json(read_file(path), path.string());
  std::smatch parts;
  const std::string& schema = content["schema"].text();
  bool fits = std::regex_match(schema, parts, std::regex("([a-z.]+)/([0-9]+)(\\.[0-9]+)?"));
  if (!fits || parts.str(1) != name || parts.str(2) != std::to_string(major)) {
    throw std::runtime_error(path.string() + ": schema is '" + schema + "'; this program reads " + name + "/" + std::to_string(major));
  }
  return content;
}

Bundle Bundle::open(const fs::path& folder) {
  if (!fs::is_regular_file(folder / "bundle.json")) throw std::runtime_error(folder.string() + ": holds no bundle.json");
  check_sums(folder);
  Bundle bundle;
  bundle.folder = folder;
  bundle.manifest = read_json(folder / "bundle.json", "facings.bundle", 1);
  for (const char* kind : {"graphs", "files"}) {
    for (const auto& [role, entry] : bundle.manifest[kind].table()) {
      checked_file(member(folder, entry["file"].text()), entry["sha256"].text());
    }
  }
  const Json& files = bundle.manifest["files"];
  bundle.postprocess = read_json(member(folder, files["postprocess"]["file"].text()), "facings.postprocess", 1);
  bundle.products = read_json(member(folder, files["taxonomy"]["file"].text()), "facings.taxonomy", 1)["products"];
  if (bundle.has("embedder") && fs::exists(folder / "gallery" / "CURRENT")) {
    bundle.gallery = Gallery::open(folder / "gallery", bundle.manifest["graphs"]["embedder"]["sha256"].text());
  }
  return bundle;
}
