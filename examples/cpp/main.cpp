// facings_example --onnxruntime LIBRARY BUNDLE IMAGE.npy   the decision for a picture (uint8, H x W x 3, RGB), as JSON
// facings_example --onnxruntime LIBRARY BUNDLE --golden    every golden sample, stage by stage; ends with 1 when one differs
#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include "golden.hpp"

namespace {

const char* kUsage = "usage: facings_example [--onnxruntime LIBRARY] [--threads N] BUNDLE (IMAGE.npy | --golden)";

struct Words {
  std::string library = "libonnxruntime.so", bundle, image;
  int threads = 0;
  bool golden = false;
};

Words read_words(int count, char** given) {
  Words words;
  std::vector<std::string> rest;
  for (int i = 1; i < count; ++i) {
    std::string word = given[i];
    if (word == "--golden") {
      words.golden = true;
    } else if ((word == "--onnxruntime" || word == "--threads") && i + 1 < count) {
      if (word == "--threads") words.threads = std::atoi(given[++i]);
      else words.library = given[++i];
    } else {
      rest.push_back(word);
    }
  }
  if (rest.size() != (words.golden ? 1u : 2u)) throw std::runtime_error(kUsage);
  words.bundle = rest[0];
  if (!words.golden) words.image = rest[1];
  return words;
}

int run(const Words& words) {
  Bundle bundle = Bundle::open(words.bundle);
  Runtime runtime(words.library, words.threads);
  Recognizer recognizer(bundle, runtime);
  if (words.golden) {
    bool passed = false;
    for (const std::string& line : check_golden(recognizer, passed)) std::cout << line << "\n";
    return passed ? 0 : 1;
  }
  Tensor image = parse_npy(read_file(words.image), words.image);
  if (image.type != Type::uint8 || image.shape.size() != 3 || image.shape[2] != 3 || image.count() == 0) {
    throw std::runtime_error(words.image + ": shape " + shape_text(image.shape) + "; expected uint8 (H, W, 3)");
  }
  std::cout << to_json(recognizer.recognize(image), bundle) << "\n";
  return 0;
}

}  // namespace

int main(int count, char** given) {
  try {
    return run(read_words(count, given));
  } catch (const std::exception& fault) {
    std::cerr << "facings example: " << fault.what() << "\n";
    return 2;
  }
}
