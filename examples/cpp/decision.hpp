// From similarities to an answer: the contract facings.decision/1. Knows nothing of pictures or graphs.
#pragma once
#include "detections.hpp"

struct Candidate {
  std::string product_id;
  double similarity, p_value;  // rounded to six decimals
};

struct Item {
  std::vector<std::string> box;  // as decimals
  std::string score, status;
  std::vector<std::string> category;
  std::vector<Candidate> candidates;
  std::map<std::string, std::string> attributes;

  std::string product() const { return status == "known" ? candidates[0].product_id : ""; }
};

// `items` and `similarities` (N, k): the most similar products of each detection, best first; null without a gallery.
std::vector<Item> decide(
    const std::vector<Detection>& found, const Tensor* items, const Tensor* similarities, const Bundle& bundle);
// The JSON text of a decision.
std::string to_json(const std::vector<Item>& items, const Bundle& bundle);
