#include "json.hpp"

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace {

const Json kNull;
constexpr int kDepth = 64;  // a bundle's files are nested 6 deep

class Parser {
 public:
  Parser(const std::string& text, const std::string& name) : text_(text), name_(name) {}

  Json whole() {
    Json found = value(0);
    blanks();
    if (at_ != text_.size()) fail("more text after the value");
    return found;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(name_ + ": not JSON (" + what + " at byte " + std::to_string(at_) + ")");
  }

  void blanks() {
    while (at_ < text_.size() && std::string(" \t\r\n").find(text_[at_]) != std::string::npos) ++at_;
  }

  bool took(const std::string& word) {
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }

  Json value(int depth) {
    if (depth > kDepth) fail("nested too deeply");
    blanks();
    if (took("null")) return {};
    if (took("true")) return {true};
    if (took("false")) return {false};
    if (at_ < text_.size() && text_[at_] == '"') return {string()};
    if (took("[")) return {list(depth)};
    if (took("{")) return {table(depth)};
    double number = 0;
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (error != std::errc()) fail("expected a value");
    at_ = static_cast<size_t>(end - text_.data());
    return {number};
  }

  Json::List list(int depth) {
    Json::List found;
    blanks();
    if (took("]")) return found;
    do {
      found.push_back(value(depth + 1));
      blanks();
    } while (took(","));
    if (!took("]")) fail("expected ] or ,");
    return found;
  }

  Json::Table table(int depth) {
    Json::Table found;
    blanks();
    if (took("}")) return found;
    do {
      blanks();
      std::string name = string();
      blanks();
      if (!took(":")) fail("expected :");
      found.emplace_back(std::move(name), value(depth + 1));
      blanks();
    } while (took(","));
    if (!took("}")) fail("expected } or ,");
    return found;
  }

  std::string string() {
    if (!took("\"")) fail("expected a text");
    std::string found;
    while (at_ < text_.size() && text_[at_] != '"') {
      char letter = text_[at_++];
      if (letter != '\\') {
        found += letter;
        continue;
      }
      if (at_ == text_.size()) break;
      const std::string names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
      char escape = text_[at_++];
      if (escape == 'u') {
        add_utf8(found, code_point());
      } else if (size_t place = names.find(escape); place != std::string::npos) {
        found += meanings[place];
      } else {
        fail("unknown escape");
      }
    }
    if (!took("\"")) fail("a text without an end");
    return found;
  }

  uint32_t four_digits() {
    uint32_t found = 0;
    if (at_ + 4 > text_.size()) fail("a short \\u");
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, found, 16);
    if (error != std::errc() || end != text_.data() + at_ + 4) fail("expected four hexadecimal digits");
    at_ += 4;
    return found;
  }

  uint32_t code_point() {
    uint32_t high = four_digits();
    if (high < 0xD800 || high > 0xDBFF) return high;
    if (!took("\\u")) fail("half a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (four_digits() - 0xDC00);
  }

  static void add_utf8(std::string& text, uint32_t point) {
    if (point < 0x80) {
      text += static_cast<char>(point);
      return;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    const int marks[] = {0, 0xC0, 0xE0, 0xF0};
    text += static_cast<char>(marks[more] | (point >> (6 * more)));
    while (more-- > 0) text += static_cast<char>(0x80 | ((point >> (6 * more)) & 0x3F));
  }

  const std::string& text_;
  const std::string& name_;
  size_t at_ = 0;
};

template <class Kind>
const Kind& as(const Json& json, const char* kind) {
  if (const Kind* found = std::get_if<Kind>(&json.value)) return *found;
  throw std::runtime_error(std::string("a JSON field is missing or not a ") + kind);
}

}  // namespace

const Json& Json::operator[](const std::string& name) const {
  if (const Table* entries = std::get_if<Table>(&value)) {
    for (const auto& [key, entry] : *entries) {
      if (key == name) return entry;
    }
  }
  return kNull;
}

bool Json::has(const std::string& name) const { return &(*this)[name] != &kNull; }
double Json::number() const { return as<double>(*this, "number"); }
const std::string& Json::text() const { return as<std::string>(*this, "text"); }
const Json::List& Json::list() const { return as<List>(*this, "list"); }
const Json::Table& Json::table() const { return as<Table>(*this, "table"); }

Json parse_json(const std::string& text, const std::string& name) { return Parser(text, name).whole(); }

std::string quoted(const std::string& text) {
  std::string found = "\"";
  for (char letter : text) {
    if (letter == '"' || letter == '\\') {
      found += std::string("\\") + letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
      found += escape;
    } else {
      found += letter;
    }
  }
  return found + "\"";
}
