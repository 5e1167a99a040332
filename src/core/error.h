// What the core throws: a caller's mistake (Error) or a broken invariant (Bug).
//
// Expected outcomes (too few rows, a constant target, no convergence) are never thrown: they are
// statuses of the value returned (see learners/linear.h). Nothing here or below calls abort().
#pragma once

#include <stdexcept>
#include <string>

namespace many::core {

enum class ErrorKind {
    invalid_argument,  // SQLSTATE 22023
    invalid_data,      // SQLSTATE XX001: stored bytes that are damaged
    unsupported,       // SQLSTATE 0A000
};

class Error : public std::runtime_error {
  public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

  private:
    ErrorKind kind_;
};

class Bug : public std::logic_error {
  public:
    using std::logic_error::logic_error;
};

}  // namespace many::core
