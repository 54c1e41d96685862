// Files of a bundle: bytes, names that stay inside, and NumPy's arrays.
#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

enum class Type { float32 = 1, uint8 = 2, int64 = 7 };  // numbered as ONNX does

// An array in C order. `shape`: its sides; `bytes`: its numbers.
struct Tensor {
  Type type = Type::float32;
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  int64_t count() const;
  template <class Number>
  const Number* data() const { return reinterpret_cast<const Number*>(bytes.data()); }
  template <class Number>
  static Tensor of(Type type, std::vector<int64_t> shape, const std::vector<Number>& numbers) {
    Tensor made{type, std::move(shape), std::vector<char>(numbers.size() * sizeof(Number))};
    if (!numbers.empty()) std::memcpy(made.bytes.data(), numbers.data(), made.bytes.size());
    return made;
  }
  const float* floats() const { return data<float>(); }
};

size_t size_of(Type type);
std::string shape_text(const std::vector<int64_t>& shape);
std::string read_file(const std::filesystem::path& path);
// The same, or std::runtime_error where the checksum is another.
std::string checked_file(const std::filesystem::path& path, const std::string& digest);
// The path of a member named inside `folder`. Throws for a name that leaves it.
std::filesystem::path member(const std::filesystem::path& folder, const std::string& name);
// An array out of a .npy file's bytes: float32, int64 or uint8. Throws for anything else; nothing is unpickled.
Tensor parse_npy(const std::string& bytes, const std::string& name);
