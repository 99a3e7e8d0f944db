// The front end: from samples to log-mel or MFCC features, as the network was trained on them. C++17, no heap, no
// dependency. It computes in single precision, as its counterpart in Python does.
#ifndef PENJING_KEYWORD_SPOTTING_FRONT_END_H_
#define PENJING_KEYWORD_SPOTTING_FRONT_END_H_

#include <cstddef>

#include "parameters.h"

namespace keyword_spotting {

// Features of windows of samples.
class FrontEnd {
 public:
  FrontEnd();

  // Features of one window: `samples` has kFrameSamples values in [-1, 1], `features` room for kColumns.
  void OfFrame(const float* samples, float* features);

  // Features of a whole clip: `samples` has kClipSamples values, `features` room for kFrames * kColumns, frame after
  // frame. Divides by the clip's largest sample first where the network was trained so.
  void OfClip(const float* samples, float* features);

 private:
  static constexpr std::size_t kBins = kFftSize / 2 + 1;

  void Transform();

  float window_[kFrameSamples];
  float cosine_[kFftSize / 2];
  float sine_[kFftSize / 2];
  // A bin lies on one rising and one falling edge at most.
  float weights_[2 * kBins];
  std::size_t first_bin_[kBands];
  std::size_t bins_[kBands];
  float real_[kFftSize];
  float imaginary_[kFftSize];
  float bands_[kBands];
};

// The last kFrames frames of a stream of samples that come in pieces of any size.
class Stream {
 public:
  // Takes one sample. Returns true when a look is due: a whole clip of frames is there, and kLookStep frames have come
  // since the last look.
  bool Push(float sample);

  // The clip's features, oldest frame first: room for kFrames * kColumns.
  void Features(float* features) const;

  // Seconds from the first sample to the end of the window of the look that is due.
  double Seconds() const { return seconds_; }

 private:
  FrontEnd front_end_;
  float samples_[kFrameSamples] = {};
  std::size_t filled_ = 0;
  float frames_[kFrames * kColumns] = {};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
  std::size_t looks_ = 0;
  double seconds_ = 0;
};

}  // namespace keyword_spotting

#endif  // PENJING_KEYWORD_SPOTTING_FRONT_END_H_
