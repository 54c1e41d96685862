#include "runtime.hpp"

#include <dlfcn.h>

#include <stdexcept>

namespace {

// Places in ONNX Runtime's table of functions (OrtApi). Those of version 1 of the table, 0 to 101, never move: its authors add
// at the end only. So this program needs no header, and runs with any release from 1.20, which the graphs' opset asks for.
enum Place {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetSessionLogSeverityLevel = 22,
  kSetIntraOpNumThreads = 24,
  kCreateTensorWithDataAsOrtValue = 49,
  kGetTensorMutableData = 51,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kGetTensorTypeAndShape = 65,
  kCreateCpuMemoryInfo = 69,
  kReleaseEnv = 92,
  kReleaseStatus = 93,
  kReleaseMemoryInfo = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTensorTypeAndShapeInfo = 99,
  kReleaseSessionOptions = 100,
};
constexpr uint32_t kTableVersion = 20;
constexpr int kErrorsOnly = 3;
constexpr int kArena = 1, kDefaultMemory = 0;

struct Base {  // OrtApiBase
  const void* const* (*table)(uint32_t version);
  const char* (*version)();
};

using Release = void (*)(void*);
using Create = void* (*)(void**);

}  // namespace

Runtime::Runtime(const std::string& library, int threads) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(library + ": cannot be loaded (" + dlerror() + ")");
  auto base = reinterpret_cast<const Base* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (base == nullptr) throw std::runtime_error(library + ": is not ONNX Runtime (no OrtGetApiBase)");
  version_ = base()->version();
  table_ = base()->table(kTableVersion);
  if (table_ == nullptr) throw std::runtime_error(library + ": ONNX Runtime " + version_ + "; 1.20 or later is needed");
  check(at<void* (*)(int, const char*, void**)>(kCreateEnv)(kErrorsOnly, "facings", &environment_));
  check(at<Create>(kCreateSessionOptions)(&options_));
  check(at<void* (*)(void*, int)>(kSetSessionLogSeverityLevel)(options_, kErrorsOnly));
  if (threads > 0) check(at<void* (*)(void*, int)>(kSetIntraOpNumThreads)(options_, threads));
  check(at<void* (*)(int, int, void**)>(kCreateCpuMemoryInfo)(kArena, kDefaultMemory, &memory_));
}

Runtime::~Runtime() {
  at<Release>(kReleaseMemoryInfo)(memory_);
  at<Release>(kReleaseSessionOptions)(options_);
  at<Release>(kReleaseEnv)(environment_);
  // The library stays loaded: its threads may still be ending.
}

void Runtime::check(void* status) const {
  if (status == nullptr) return;
  std::string message = at<const char* (*)(void*)>(kGetErrorMessage)(status);
  at<Release>(kReleaseStatus)(status);
  throw std::runtime_error("ONNX Runtime " + version_ + ": " + message);
}

Session::Session(const Runtime& runtime, const std::filesystem::path& path, std::vector<std::string> outputs)
    : runtime_(runtime), outputs_(std::move(outputs)) {
  using Load = void* (*)(void*, const char*, void*, void**);
  runtime.check(runtime.at<Load>(kCreateSession)(runtime.environment_, path.c_str(), runtime.options_, &session_));
}

Session::~Session() { runtime_.at<Release>(kReleaseSession)(session_); }

std::map<std::string, Tensor> Session::run(const std::map<std::string, Tensor>& inputs) const {
  auto release = runtime_.at<Release>(kReleaseValue);
  struct Values : std::vector<void*> {
    explicit Values(Release how) : how(how) {}
    ~Values() {
      for (void* value : *this) {
        if (value != nullptr) how(value);
      }
    }
    Release how;
  } given(release), made(release);
  std::vector<const char*> names, wanted;
  for (const auto& [name, tensor] : inputs) {
    using Wrap = void* (*)(void*, void*, size_t, const int64_t*, size_t, int, void**);
    given.push_back(nullptr);
    names.push_back(name.c_str());
    // ONNX Runtime reads inputs and does not write to them.
    void* data = const_cast<char*>(tensor.bytes.data());
    runtime_.check(runtime_.at<Wrap>(kCreateTensorWithDataAsOrtValue)(
        runtime_.memory_, data, tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(), static_cast<int>(tensor.type),
        &given.back()));
  }
  for (const std::string& name : outputs_) wanted.push_back(name.c_str());
  made.resize(wanted.size(), nullptr);
  using Run = void* (*)(void*, void*, const char* const*, void* const*, size_t, const char* const*, size_t, void**);
  runtime_.check(runtime_.at<Run>(kRun)(
      session_, nullptr, names.data(), given.data(), given.size(), wanted.data(), wanted.size(), made.data()));
  std::map<std::string, Tensor> found;
  for (size_t i = 0; i < made.size(); ++i) found[outputs_[i]] = taken(made[i]);
  return found;
}

// A copy of an output.
Tensor Session::taken(void* value) const {
  void *facts = nullptr, *data = nullptr;
  int type = 0;
  size_t sides = 0;
  runtime_.check(runtime_.at<void* (*)(void*, void**)>(kGetTensorTypeAndShape)(value, &facts));
  std::unique_ptr<void, Release> owned(facts, runtime_.at<Release>(kReleaseTensorTypeAndShapeInfo));
  runtime_.check(runtime_.at<void* (*)(void*, int*)>(kGetTensorElementType)(facts, &type));
  runtime_.check(runtime_.at<void* (*)(void*, size_t*)>(kGetDimensionsCount)(facts, &sides));
  if (type != 1 && type != 2 && type != 7) throw std::runtime_error("an output has element type " + std::to_string(type));
  Tensor found{static_cast<Type>(type), std::vector<int64_t>(sides), {}};
  runtime_.check(runtime_.at<void* (*)(void*, int64_t*, size_t)>(kGetDimensions)(facts, found.shape.data(), sides));
  runtime_.check(runtime_.at<void* (*)(void*, void**)>(kGetTensorMutableData)(value, &data));
  size_t length = static_cast<size_t>(found.count()) * size_of(found.type);
  const char* bytes = static_cast<const char*>(data);
  found.bytes.assign(bytes, bytes + length);
  return found;
}
