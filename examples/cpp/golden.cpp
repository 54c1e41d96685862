#include "golden.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

namespace {

// Detections below half the threshold never reach a decision; among them the order of near-equal scores is free.
constexpr double kRelevant = 0.5;

double largest(const float* first, const float* second, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count; ++i) {
    double apart = std::abs(static_cast<double>(first[i]) - static_cast<double>(second[i]));
    if (!(apart <= most)) most = apart;  // NaN too
  }
  return most;
}

// Golden detections without a twin: same label, score, corners and whatever is told of a box within their tolerances.
int64_t unmatched(const Tensors& golden, const Tensors& found, double least, const Json& tolerances) {
  const int64_t count = golden.at("scores").count();
  if (found.count("scores") == 0 || found.at("scores").shape != golden.at("scores").shape) return count;
  auto off = [&](const std::string& name, int64_t i, int64_t j) {
    const int64_t width = golden.at(name).count() / count;
    return largest(golden.at(name).floats() + i * width, found.at(name).floats() + j * width, width);
  };
  std::set<int64_t> free;
  for (int64_t j = 0; j < count; ++j) free.insert(j);
  int64_t lost = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!(golden.at("scores").floats()[i] >= least)) continue;
    int64_t best = -1;
    for (int64_t j : free) {
      bool twin = golden.at("labels").data<int64_t>()[i] == found.at("labels").data<int64_t>()[j];
      for (const char* name : {"scores", "boxes", "coefficients", "attributes"}) {
        twin = twin && (golden.count(name) == 0 || off(name, i, j) <= tolerances[name].number());
      }
      if (twin && (best < 0 || off("boxes", i, j) < off("boxes", i, best))) best = j;
    }
    if (best < 0) ++lost;
    else free.erase(best);
  }
  return lost;
}

// By count, status and product.
std::string decision_fault(const Json& golden, const std::vector<Item>& found) {
  std::vector<std::string> theirs, ours;
  for (const Json& item : golden["items"].list()) {
    theirs.push_back(item["status"].text() + " " + (item["product_id"].is_null() ? "" : item["product_id"].text()));
  }
  for (const Item& item : found) ours.push_back(item.status + " " + item.product());
  std::sort(theirs.begin(), theirs.end());
  std::sort(ours.begin(), ours.end());
  if (theirs.size() != ours.size()) {
    return "; the decision has " + std::to_string(ours.size()) + " items, golden has " + std::to_string(theirs.size());
  }
  return theirs == ours ? "" : "; items of the decision differ from golden";
}

std::string faults_of(const Recognizer& recognizer, const Tensors& golden, const Json& tolerances, const Json* decision) {
  auto boxes = golden.find("crop_boxes");
  Tensors found = recognizer.stages(golden.at("image"), boxes == golden.end() ? nullptr : &boxes->second);
  std::string faults;
  for (const char* name : {"pixels", "transform", "prototypes", "crops", "embeddings", "similarities"}) {
    if (golden.count(name) == 0 || (decision == nullptr && std::string(name) == "similarities")) continue;
    const Tensor& wanted = golden.at(name);
    if (found.count(name) == 0 || found.at(name).shape != wanted.shape) {
      faults += std::string("; ") + name + " has another shape than the golden " + shape_text(wanted.shape);
      continue;
    }
    double apart = largest(wanted.floats(), found.at(name).floats(), wanted.count());
    if (!(apart <= tolerances[name].number())) faults += std::string("; ") + name + " differs by " + std::to_string(apart);
  }
  if (golden.count("boxes") != 0) {
    double least = recognizer.bundle().setting("score_threshold") * kRelevant;
    int64_t lost = unmatched(golden, found, least, tolerances);
    if (lost > 0) faults += "; " + std::to_string(lost) + " of the golden detections are not found";
  }
  if (decision != nullptr) faults += decision_fault(*decision, recognizer.recognize(golden.at("image")));
  return faults;
}

}  // namespace

std::vector<std::string> check_golden(const Recognizer& recognizer, bool& passed) {
  const Bundle& bundle = recognizer.bundle();
  const Json& entry = bundle.manifest["files"]["golden"];
  if (entry.is_null()) throw std::runtime_error(bundle.folder.string() + ": has no golden samples");
  std::filesystem::path path = member(bundle.folder, entry["file"].text());
  Json index = read_json(path, "facings.golden", 1);
  if (index["samples"].list().empty()) throw std::runtime_error(path.string() + ": lists no samples");
  // After an enrolment answers differ from the exported ones; the stages before them do not.
  const Json& version = index["gallery_version"];
  bool same = bundle.gallery ? !version.is_null() && version.text() == bundle.gallery->version : version.is_null();
  std::vector<std::string> lines;
  passed = true;
  for (const Json& sample : index["samples"].list()) {
    Tensors golden;
    std::string names;
    for (const auto& [name, file] : sample["arrays"].table()) {
      golden[name] = parse_npy(read_file(member(path.parent_path(), file.text())), file.text());
      if (name != "image") names += name + ", ";
    }
    std::string faults = faults_of(recognizer, golden, index["tolerances"], same ? &sample["decision"] : nullptr);
    passed = passed && faults.empty();
    std::string said = faults.empty() ? (same ? names + "decision" : names.substr(0, names.size() - 2)) + " agree" : faults.substr(2);
    lines.push_back((faults.empty() ? "ok" : "FAILED") + std::string("  golden sample ") + sample["name"].text() + ": " + said);
  }
  return lines;
}
