#include "sha256.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace {

uint32_t turned(uint32_t word, int by) { return (word >> by) | (word << (32 - by)); }

// The standard's constants: the first 32 bits of the fractions of roots of the first primes.
template <size_t N>
std::array<uint32_t, N> fractions(bool cube) {
  std::array<uint32_t, N> found{};
  size_t count = 0;
  for (int number = 2; count < N; ++number) {
    bool prime = true;
    for (int divisor = 2; divisor * divisor <= number; ++divisor) prime &= number % divisor != 0;
    if (!prime) continue;
    long double root = cube ? std::cbrt(static_cast<long double>(number)) : std::sqrt(static_cast<long double>(number));
    found[count++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
  }
  return found;
}

void take(std::array<uint32_t, 8>& state, const unsigned char* block) {
  static const auto constants = fractions<64>(true);
  std::array<uint32_t, 64> w{};
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 4; ++j) w[i] = (w[i] << 8) | block[4 * i + j];
  }
  for (int i = 16; i < 64; ++i) {
    uint32_t first = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ (w[i - 15] >> 3);
    uint32_t second = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + first + w[i - 7] + second;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (int i = 0; i < 64; ++i) {
    uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
    uint32_t first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + choice + constants[i] + w[i];
    uint32_t second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + majority;
    h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
  }
  const uint32_t added[] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] += added[i];
}

}  // namespace

std::string sha256(const std::string& bytes) {
  auto state = fractions<8>(false);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t whole = bytes.size() / 64 * 64;
  for (size_t at = 0; at < whole; at += 64) take(state, data + at);
  std::string rest = bytes.substr(whole) + '\x80';
  rest.resize(rest.size() <= 56 ? 56 : 120, '\0');
  for (int shift = 56; shift >= 0; shift -= 8) rest += static_cast<char>((uint64_t{bytes.size()} * 8) >> shift);
  for (size_t at = 0; at < rest.size(); at += 64) take(state, reinterpret_cast<const unsigned char*>(rest.data()) + at);
  std::string digits;
  for (uint32_t word : state) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", word);
    digits += text;
  }
  return digits;
}
