// From probabilities, look after look, to words: smoothing, a threshold, a refractory time. C++17, no heap.
#ifndef PENJING_KEYWORD_SPOTTING_DETECTOR_H_
#define PENJING_KEYWORD_SPOTTING_DETECTOR_H_

#include <cstddef>

#include "parameters.h"

namespace keyword_spotting {

class Detector {
 public:
  // Takes one look: `probabilities` has kLabels values. Returns the number of the word that is reported, or -1.
  int Push(const float* probabilities, double seconds) {
    const std::size_t looks = seen_ ? 1 : kSmoothed;  // before the first look stands the first look
    for (std::size_t n = 0; n < looks; ++n) {
      for (std::size_t label = 0; label < kLabels; ++label) history_[next_][label] = probabilities[label];
      next_ = (next_ + 1) % kSmoothed;
    }
    seen_ = true;
    int best = -1;
    double highest = 0.0;
    for (std::size_t label = 0; label < kLabels; ++label) {
      double total = 0.0;  // oldest first, as in Python
      for (std::size_t n = 0; n < kSmoothed; ++n) total += history_[(next_ + n) % kSmoothed][label];
      const double mean = total / kSmoothed;
      if (mean < kRearmShare * kThreshold) heard_[label] = false;
      if (kIsWord[label] && (best < 0 || mean > highest)) {
        best = static_cast<int>(label);
        highest = mean;
      }
    }
    if (best < 0 || highest < kThreshold || heard_[best] || seconds < quiet_until_) return -1;
    quiet_until_ = seconds + kRefractorySeconds;
    heard_[best] = true;
    probability_ = highest;
    return best;
  }

  // Smoothed probability of the word that was reported last.
  double Probability() const { return probability_; }

 private:
  double history_[kSmoothed][kLabels] = {};
  bool heard_[kLabels] = {};
  std::size_t next_ = 0;
  bool seen_ = false;
  double quiet_until_ = -1e9;
  double probability_ = 0.0;
};

}  // namespace keyword_spotting

#endif  // PENJING_KEYWORD_SPOTTING_DETECTOR_H_
