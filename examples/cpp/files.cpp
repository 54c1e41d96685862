#include "files.hpp"

#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "sha256.hpp"

int64_t Tensor::count() const {
  int64_t product = 1;
  for (int64_t side : shape) product *= side;
  return product;
}

size_t size_of(Type type) { return type == Type::float32 ? 4 : type == Type::int64 ? 8 : 1; }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
  return "(" + text + ")";
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file || !(bytes << file.rdbuf())) throw std::runtime_error(path.string() + ": cannot be read");
  return bytes.str();
}

std::string checked_file(const std::filesystem::path& path, const std::string& digest) {
  std::string bytes = read_file(path);
  if (sha256(bytes) != digest) {
    throw std::runtime_error(path.string() + ": wrong checksum; the file was changed or damaged after it was written");
  }
  return bytes;
}

std::filesystem::path member(const std::filesystem::path& folder, const std::string& name) {
  bool inside = !name.empty() && name[0] != '/' && name.find_first_of(std::string("\\:\0", 3)) == std::string::npos;
  for (const auto& part : std::filesystem::path(name)) inside = inside && part != "..";
  if (!inside) throw std::runtime_error(folder.string() + ": the path '" + name + "' leaves the folder");
  return folder / name;
}

Tensor parse_npy(const std::string& bytes, const std::string& name) {
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0 || bytes[6] < 1 || bytes[6] > 3) {
    throw std::runtime_error(name + ": not a .npy file of version 1 to 3");
  }
  auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(bytes[at])); };
  size_t start = bytes[6] == 1 ? 10 : 12, length = byte(8) | byte(9) << 8;
  if (bytes[6] > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (start + length > bytes.size()) throw std::runtime_error(name + ": the header is cut off");
  std::string header = bytes.substr(start, length);
  std::smatch descr, sides;
  bool known = std::regex_search(header, descr, std::regex("'descr':\\s*'(<f4|<i8|\\|u1)'")) &&
               std::regex_search(header, std::regex("'fortran_order':\\s*False"));
  std::string shape_found = std::regex_search(header, sides, std::regex("'shape':\\s*\\(([0-9, ]*)\\)")) ? sides.str(1) : "?";
  if (!known || shape_found == "?") {
    throw std::runtime_error(name + ": header " + header + "; expected float32, int64 or uint8 in C order");
  }
  Tensor found;
  found.type = descr.str(1) == "<f4" ? Type::float32 : descr.str(1) == "<i8" ? Type::int64 : Type::uint8;
  std::istringstream numbers(std::regex_replace(shape_found, std::regex(","), " "));
  for (int64_t side; numbers >> side;) found.shape.push_back(side);
  size_t begin = start + length;
  if (bytes.size() - begin != static_cast<size_t>(found.count()) * size_of(found.type)) {
    throw std::runtime_error(name + ": its length does not fit the shape " + shape_text(found.shape));
  }
  found.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end());
  return found;
}
