// The enrolled products: the version that CURRENT names, every byte of it checked.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "files.hpp"
#include "json.hpp"

struct Gallery {
  std::string version;
  std::vector<std::string> items;  // ids of the answered products
  Tensor vectors;                  // (M, D) float32, unit length
  Tensor item;                     // (M,) int64: index into `items`
  std::vector<float> scores;       // calibration scores, ascending
  Json products;                   // details of products enrolled later

  static Gallery open(const std::filesystem::path& folder, const std::string& embedder_sha256);
};
