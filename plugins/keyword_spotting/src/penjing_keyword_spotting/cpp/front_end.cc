#include "front_end.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace keyword_spotting {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The HTK scale (O'Shaughnessy 1987).
double Mel(double hertz) { return 2595.0 * std::log10(1.0 + hertz / 700.0); }

}  // namespace

FrontEnd::FrontEnd() {
  for (std::size_t n = 0; n < kFrameSamples; ++n) {
    window_[n] = static_cast<float>(0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(n) / kFrameSamples));
  }
  for (std::size_t n = 0; n < kFftSize / 2; ++n) {
    const double angle = 2.0 * kPi * static_cast<double>(n) / kFftSize;
    cosine_[n] = static_cast<float>(std::cos(angle));
    sine_[n] = static_cast<float>(std::sin(angle));
  }
  const double low = Mel(kLowHz);
  const double step = (Mel(kHighHz) - low) / (kBands + 1);
  std::size_t used = 0;
  for (std::size_t band = 0; band < kBands; ++band) {
    const double lower = low + step * static_cast<double>(band);
    const double centre = lower + step;
    const double upper = centre + step;
    first_bin_[band] = 0;
    bins_[band] = 0;
    // The constant part of a frame, bin 0, is no sound.
    for (std::size_t bin = 1; bin < kBins; ++bin) {
      const double place = Mel(static_cast<double>(bin) * kSampleRate / kFftSize);
      const double weight = std::min((place - lower) / step, (upper - place) / step);
      if (weight <= 0 || used == 2 * kBins) continue;
      if (bins_[band] == 0) first_bin_[band] = bin;
      weights_[used++] = static_cast<float>(weight);
      ++bins_[band];
    }
  }
}

// In place, radix 2, decimation in time (Cooley and Tukey 1965).
void FrontEnd::Transform() {
  for (std::size_t i = 1, j = 0; i < kFftSize; ++i) {
    std::size_t bit = kFftSize >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(real_[i], real_[j]);
  }
  std::memset(imaginary_, 0, sizeof(imaginary_));
  for (std::size_t length = 2; length <= kFftSize; length <<= 1) {
    const std::size_t stride = kFftSize / length;
    for (std::size_t start = 0; start < kFftSize; start += length) {
      for (std::size_t k = 0; k < length / 2; ++k) {
        const std::size_t a = start + k;
        const std::size_t b = a + length / 2;
        const float c = cosine_[k * stride];
        const float s = sine_[k * stride];
        const float re = real_[b] * c + imaginary_[b] * s;
        const float im = imaginary_[b] * c - real_[b] * s;
        real_[b] = real_[a] - re;
        imaginary_[b] = imaginary_[a] - im;
        real_[a] += re;
        imaginary_[a] += im;
      }
    }
  }
}

void FrontEnd::OfFrame(const float* samples, float* features) {
  for (std::size_t n = 0; n < kFrameSamples; ++n) real_[n] = samples[n] * window_[n];
  for (std::size_t n = kFrameSamples; n < kFftSize; ++n) real_[n] = 0.0f;
  Transform();
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    real_[bin] = std::sqrt(real_[bin] * real_[bin] + imaginary_[bin] * imaginary_[bin]);
  }
  const float* weight = weights_;
  for (std::size_t band = 0; band < kBands; ++band) {
    float total = 0.0f;
    for (std::size_t bin = 0; bin < bins_[band]; ++bin) total += *weight++ * real_[first_bin_[band] + bin];
    bands_[band] = std::log(total + kLogOffset);
  }
  for (std::size_t column = 0; column < kColumns; ++column) {
    float value = bands_[column];
    if (kIsMfcc) {
      value = 0.0f;
      for (std::size_t band = 0; band < kBands; ++band) {
        const double angle = kPi * (static_cast<double>(band) + 0.5) * static_cast<double>(column) / kBands;
        value += bands_[band] * static_cast<float>(2.0 * std::cos(angle) / std::sqrt(2.0 * kBands));
      }
    }
    features[column] = (value - kMean) / kScale;
  }
}

void FrontEnd::OfClip(const float* samples, float* features) {
  float divisor = 1.0f;
  if (kPeakNormalised) {
    const float peak = *std::max_element(samples, samples + kClipSamples);
    if (peak > 0.0f) divisor = peak;
  }
  float frame[kFrameSamples];
  for (std::size_t index = 0; index < kFrames; ++index) {
    for (std::size_t n = 0; n < kFrameSamples; ++n) frame[n] = samples[index * kHopSamples + n] / divisor;
    OfFrame(frame, features + index * kColumns);
  }
}

bool Stream::Push(float sample) {
  samples_[filled_++] = sample;
  if (filled_ < kFrameSamples) return false;
  front_end_.OfFrame(samples_, frames_ + next_ * kColumns);
  next_ = (next_ + 1) % kFrames;
  std::memmove(samples_, samples_ + kHopSamples, (kFrameSamples - kHopSamples) * sizeof(float));
  filled_ = kFrameSamples - kHopSamples;
  ++count_;
  if (count_ < kFrames || (count_ - kFrames) % kLookStep != 0) return false;
  seconds_ = (static_cast<double>(looks_ * kLookStep * kHopSamples) + kClipSamples) / kSampleRate;
  ++looks_;
  return true;
}

void Stream::Features(float* features) const {
  const std::size_t older = kFrames - next_;
  std::memcpy(features, frames_ + next_ * kColumns, older * kColumns * sizeof(float));
  std::memcpy(features + older * kColumns, frames_, next_ * kColumns * sizeof(float));
}

}  // namespace keyword_spotting
