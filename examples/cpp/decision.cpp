#include "decision.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace {

// Rounded by the exact value, halves to the even digit, as Python's `round` does.
std::string decimal(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

double rounded(double value, int digits) { return std::strtod(decimal(value, digits).c_str(), nullptr); }

// Share of the calibration scores (ascending) that are at least as high, counting the asked one itself.
float p_value(float similarity, const std::vector<float>& scores) {
  auto higher = scores.end() - std::lower_bound(scores.begin(), scores.end(), similarity);
  return static_cast<float>(static_cast<double>(1 + higher) / static_cast<double>(1 + scores.size()));
}

std::string judge(const std::vector<Candidate>& candidates, const Bundle& bundle) {
  if (candidates.empty() || candidates[0].p_value > bundle.setting("false_accept_rate")) return "unknown";
  bool close = candidates.size() > 1 &&
               candidates[0].similarity - candidates[1].similarity < bundle.setting("ambiguity_margin");
  return close ? "ambiguous" : "known";
}

// Coarse to fine, from the enrolment, else from the taxonomy.
std::vector<std::string> path_of(const std::string& product, const Bundle& bundle) {
  const Json& enrolled = bundle.gallery->products[product];
  const Json& details = !enrolled.is_null() && !enrolled.table().empty() ? enrolled : bundle.products[product];
  std::vector<std::string> path;
  if (!details["category"].is_null()) {
    for (const Json& level : details["category"].list()) path.push_back(level.text());
  }
  return path;
}

// The product's category; of an ambiguous item what the near candidates share; of an unknown one nothing.
std::vector<std::string> category(const std::string& status, const std::vector<Candidate>& candidates, const Bundle& bundle) {
  if (status == "unknown") return {};
  double margin = status == "ambiguous" ? bundle.setting("ambiguity_margin") : 0.0;
  std::vector<std::string> shared = path_of(candidates[0].product_id, bundle);
  for (const Candidate& one : candidates) {
    if (candidates[0].similarity - one.similarity > margin) continue;
    std::vector<std::string> path = path_of(one.product_id, bundle);
    size_t level = 0;
    while (level < std::min(shared.size(), path.size()) && shared[level] == path[level]) ++level;
    shared.resize(level);
  }
  return shared;
}

template <class List, class Text>
std::string joined(const List& list, Text text) {
  std::string found;
  for (const auto& one : list) found += (found.empty() ? "" : ", ") + text(one);
  return found;
}

}  // namespace

std::vector<Item> decide(
    const std::vector<Detection>& found, const Tensor* items, const Tensor* similarities, const Bundle& bundle) {
  std::vector<Item> decided;
  for (size_t number = 0; number < found.size(); ++number) {
    Item item;
    for (float side : found[number].box) item.box.push_back(decimal(side, 2));
    item.score = decimal(found[number].score, 6);
    for (int64_t rank = 0; items != nullptr && rank < items->shape[1]; ++rank) {
      int64_t at = static_cast<int64_t>(number) * items->shape[1] + rank;
      float similarity = similarities->floats()[at];
      const std::string& product = bundle.gallery->items.at(static_cast<size_t>(items->data<int64_t>()[at]));
      item.candidates.push_back({product, rounded(similarity, 6), rounded(p_value(similarity, bundle.gallery->scores), 6)});
    }
    item.status = judge(item.candidates, bundle);
    item.category = category(item.status, item.candidates, bundle);
    if (!found[number].attributes.empty()) {
      const Json::List& names = bundle.manifest["detector"]["attributes"].list();
      for (size_t i = 0; i < names.size(); ++i) item.attributes[names[i].text()] = decimal(found[number].attributes.at(i), 6);
    }
    decided.push_back(std::move(item));
  }
  return decided;
}

std::string to_json(const std::vector<Item>& items, const Bundle& bundle) {
  auto same = [](const std::string& text) { return text; };
  auto candidate = [](const Candidate& one) {
    return "{\"product_id\": " + quoted(one.product_id) + ", \"similarity\": " + decimal(one.similarity, 6) +
           ", \"p_value\": " + decimal(one.p_value, 6) + "}";
  };
  auto attribute = [](const auto& entry) { return quoted(entry.first) + ": " + entry.second; };
  auto record = [&](const Item& item) {
    return "{\"box\": [" + joined(item.box, same) + "], \"detection_score\": " + item.score + ", \"status\": " + quoted(item.status) +
           ", \"product_id\": " + (item.status == "known" ? quoted(item.product()) : "null") + ", \"category\": [" +
           joined(item.category, quoted) + "], \"candidates\": [" + joined(item.candidates, candidate) +
           "], \"polygon\": [], \"attributes\": {" + joined(item.attributes, attribute) + "}}";
  };
  std::string version = bundle.gallery ? quoted(bundle.gallery->version) : "null";
  return "{\"schema\": \"facings.decision/1\", \"gallery_version\": " + version + ", \"items\": [" + joined(items, record) + "]}";
}
