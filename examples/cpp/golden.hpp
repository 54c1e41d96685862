// Does this program give the answers that the bundle gave where it was made? Compared is what `facings verify` compares.
#pragma once
#include "recognizer.hpp"

// A line for each golden sample; `passed` false where one differs.
std::vector<std::string> check_golden(const Recognizer& recognizer, bool& passed);
