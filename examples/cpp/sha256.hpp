// SHA-256 (FIPS 180-4) of bytes, as 64 hexadecimal digits.
#pragma once
#include <string>

std::string sha256(const std::string& bytes);
