// Words in a recording, as a device hears them. On a microcontroller, feed Stream::Push from the microphone's driver.
//
//   make                      everything but the network: front end, smoothing, threshold
//   make TFLM=path/to/tflite-micro
//                             with TensorFlow Lite Micro's interpreter
//
//   ./spot recording.wav                    words and their times (needs the interpreter)
//   ./spot --features recording.wav         the first clip's features as float32 on standard output
//   ./spot --probabilities FILE recording.wav
//                                           words, by probabilities (float32, kLabels a look) that came from elsewhere
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "detector.h"
#include "front_end.h"
#include "model.h"

#ifdef PENJING_TFLM
#include "model_ops.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
#endif

namespace ks = keyword_spotting;

namespace {

// Samples of a wav file in [-1, 1]: mono, 16 bit, at the front end's rate.
bool ReadWav(const char* path, std::vector<float>* samples) {
  std::FILE* file = std::fopen(path, "rb");
  if (!file) {
    std::fprintf(stderr, "%s: cannot be opened\n", path);
    return false;
  }
  std::vector<unsigned char> bytes;
  unsigned char block[4096];
  for (std::size_t n; (n = std::fread(block, 1, sizeof(block), file)) > 0;) bytes.insert(bytes.end(), block, block + n);
  std::fclose(file);
  const auto number = [&bytes](std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t n = 0; n < size; ++n) value |= static_cast<std::uint32_t>(bytes[at + n]) << (8 * n);
    return value;
  };
  bool understood = false;
  if (bytes.size() >= 12 && !std::memcmp(&bytes[0], "RIFF", 4) && !std::memcmp(&bytes[8], "WAVE", 4)) {
    for (std::size_t at = 12; at + 8 <= bytes.size();) {
      const std::size_t size = number(at + 4, 4);
      if (!std::memcmp(&bytes[at], "fmt ", 4) && at + 24 <= bytes.size()) {
        understood = number(at + 8, 2) == 1 && number(at + 10, 2) == 1 && number(at + 12, 4) == ks::kSampleRate &&
                     number(at + 22, 2) == 16;
      } else if (!std::memcmp(&bytes[at], "data", 4) && understood) {
        for (std::size_t n = at + 8; n + 2 <= bytes.size() && n < at + 8 + size; n += 2) {
          samples->push_back(static_cast<float>(static_cast<std::int16_t>(number(n, 2))) / 32768.0f);
        }
        return true;
      }
      at += 8 + size + size % 2;
    }
  }
  std::fprintf(stderr, "%s: not a wav file of one channel, 16 bit, %d Hz\n", path, static_cast<int>(ks::kSampleRate));
  return false;
}

#ifdef PENJING_TFLM
alignas(16) std::uint8_t arena[KEYWORD_SPOTTING_ARENA_BYTES];

// The network: features in, probabilities out, both in real units.
class Network {
 public:
  bool Begin() {
    if (keyword_spotting_register_ops(resolver_) != 0) return false;
    static tflite::MicroInterpreter interpreter(tflite::GetModel(keyword_spotting_model), resolver_, arena,
                                                sizeof(arena));
    interpreter_ = &interpreter;
    return interpreter.AllocateTensors() == kTfLiteOk;
  }

  bool Run(const float* features, float* probabilities) {
    std::int8_t* input = interpreter_->input(0)->data.int8;
    for (unsigned int n = 0; n < keyword_spotting_input_size; ++n) {
      const float steps = std::round(features[n] / keyword_spotting_input_scale) + keyword_spotting_input_zero_point;
      input[n] = static_cast<std::int8_t>(std::fmin(127.0f, std::fmax(-128.0f, steps)));
    }
    if (interpreter_->Invoke() != kTfLiteOk) return false;
    const std::int8_t* output = interpreter_->output(0)->data.int8;
    for (unsigned int n = 0; n < keyword_spotting_output_size; ++n) {
      probabilities[n] = (output[n] - keyword_spotting_output_zero_point) * keyword_spotting_output_scale;
    }
    return true;
  }

 private:
  tflite::MicroMutableOpResolver<KEYWORD_SPOTTING_OP_COUNT> resolver_;
  tflite::MicroInterpreter* interpreter_ = nullptr;
};
#endif

}  // namespace

int main(int count, char** arguments) {
  const char* recording = nullptr;
  const char* given = nullptr;
  bool features_only = false;
  for (int n = 1; n < count; ++n) {
    const std::string argument = arguments[n];
    if (argument == "--features") {
      features_only = true;
    } else if (argument == "--probabilities" && n + 1 < count) {
      given = arguments[++n];
    } else {
      recording = arguments[n];
    }
  }
  std::vector<float> samples;
  if (!recording) {
    std::fprintf(stderr, "usage: spot [--features | --probabilities FILE] recording.wav\n");
    return 2;
  }
  if (!ReadWav(recording, &samples)) return 2;
  static float features[ks::kFrames * ks::kColumns];
  if (features_only) {
    static ks::FrontEnd front_end;
    samples.resize(ks::kClipSamples);
    front_end.OfClip(samples.data(), features);
    std::fwrite(features, sizeof(float), ks::kFrames * ks::kColumns, stdout);
    return 0;
  }
  std::FILE* answers = given ? std::fopen(given, "rb") : nullptr;
  if (given && !answers) {
    std::fprintf(stderr, "%s: cannot be opened\n", given);
    return 2;
  }
#ifdef PENJING_TFLM
  static Network network;
  if (!network.Begin()) {
    std::fprintf(stderr, "the interpreter cannot be set up: is the arena of %u bytes large enough?\n",
                 static_cast<unsigned int>(sizeof(arena)));
    return 1;
  }
#else
  if (!answers) {
    std::fprintf(stderr, "built without an interpreter: make TFLM=path/to/tflite-micro, or give --probabilities\n");
    return 2;
  }
#endif
  static ks::Stream stream;
  static ks::Detector detector;
  float probabilities[ks::kLabels];
  for (const float sample : samples) {
    if (!stream.Push(sample)) continue;
    bool answered = false;
    if (answers) {
      answered = std::fread(probabilities, sizeof(float), ks::kLabels, answers) == ks::kLabels;
    } else {
#ifdef PENJING_TFLM
      stream.Features(features);
      answered = network.Run(features, probabilities);
#endif
    }
    if (!answered) {
      std::fprintf(stderr, "no answer at %.2f s\n", stream.Seconds());
      return 1;
    }
    const int word = detector.Push(probabilities, stream.Seconds());
    if (word >= 0) {
      std::printf("%.2f %s %.4f\n", stream.Seconds(), keyword_spotting_labels[word], detector.Probability());
    }
  }
  if (answers) std::fclose(answers);
  return 0;
}
