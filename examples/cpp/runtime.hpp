// ONNX Runtime by its C interface, from a shared library that is loaded when the program starts.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "files.hpp"

class Runtime {
 public:
  // `library`: libonnxruntime.so (or .dylib). `threads`: of each graph, 0 for ONNX Runtime's choice.
  Runtime(const std::string& library, int threads);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  std::string version() const { return version_; }

 private:
  friend class Session;
  template <class Function>
  Function at(int place) const { return reinterpret_cast<Function>(const_cast<void*>(table_[place])); }
  void check(void* status) const;

  const void* const* table_ = nullptr;
  std::string version_;
  void *environment_ = nullptr, *options_ = nullptr, *memory_ = nullptr;
};

// One graph. `outputs`: the names that `run` gives.
class Session {
 public:
  Session(const Runtime& runtime, const std::filesystem::path& path, std::vector<std::string> outputs);
  ~Session();
  Session(const Session&) = delete;
  std::map<std::string, Tensor> run(const std::map<std::string, Tensor>& inputs) const;

 private:
  Tensor taken(void* value) const;

  const Runtime& runtime_;
  std::vector<std::string> outputs_;
  void* session_ = nullptr;
};
