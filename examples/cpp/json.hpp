// JSON values: read whole, looked up by name. Enough for the bundle's files.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

struct Json {
  using List = std::vector<Json>;
  using Table = std::vector<std::pair<std::string, Json>>;
  std::variant<std::nullptr_t, bool, double, std::string, List, Table> value = nullptr;

  // The member of a table; null where there is none, or this is no table.
  const Json& operator[](const std::string& name) const;
  bool has(const std::string& name) const;
  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value); }
  // The value as what it must be. Throw std::runtime_error naming what was expected.
  double number() const;
  const std::string& text() const;
  const List& list() const;
  const Table& table() const;
};

// Throws std::runtime_error with `name` and the place for a text that is not JSON.
Json parse_json(const std::string& text, const std::string& name);
// `text` in quotation marks, escaped.
std::string quoted(const std::string& text);
