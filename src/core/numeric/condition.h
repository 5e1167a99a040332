// Condition number of a design from what a Cholesky solver leaves behind.
#pragma once

#include <vector>

namespace many::core {

// Largest eigenvalue of a symmetric positive semidefinite k x k matrix given by its product with a
// vector. Lanczos (1950) from a fixed start, min(k, 96) steps without reorthogonalisation (ghosts
// repeat eigenvalues, they do not move the largest), then Laguerre's iteration on the tridiagonal
// matrix from above. Relative accuracy 1e-6 or better for all k <= 96, typically so beyond.
// Cost O(96 k^2).
class LargestEigenvalue {
  public:
    // multiply(in, out): out = A in; false to stop (the result is then of no use).
    template <class Multiply>
    double operator()(int k, const Multiply& multiply) {
        start(k);
        while (step_ < limit_) {
            if (!multiply(current_.data(), product_.data()) || !advance()) break;
        }
        return largest();
    }

  private:
    void start(int k);
    bool advance();
    [[nodiscard]] double largest() const;

    int k_ = 0, step_ = 0, limit_ = 0;
    std::vector<double> current_, previous_, product_, alpha_, beta_;
};

}  // namespace many::core
