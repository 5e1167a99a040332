// Numbers into bytes and out of them, for forecast_codec.cpp alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace many::core {

constexpr std::size_t kMostForecasterBytes = std::size_t{1} << 30;

[[noreturn]] inline void damaged(const char* what) {
    throw Error(ErrorKind::invalid_data, std::string("stored forecaster is damaged: ") + what);
}

// Into a buffer that is longer than what it holds until finish().
class ByteWriter {
  public:
    explicit ByteWriter(std::vector<unsigned char>& bytes) : bytes_(bytes) {
        bytes_.resize(bytes_.capacity());
    }
    // Nothing is written afterwards.
    void finish() { bytes_.resize(used_); }
    [[nodiscard]] std::size_t size() const noexcept { return used_; }

    template <class T>
    void put(T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        std::memcpy(room(sizeof value), &value, sizeof value);
    }
    void put(bool value) { put(static_cast<std::uint8_t>(value ? 1 : 0)); }
    template <class... T>
    void all(const T&... values) {
        (put(values), ...);
    }
    void list(std::span<const double> values) {
        count(values.size());
        if (values.empty()) return;
        std::memcpy(room(values.size_bytes()), values.data(), values.size_bytes());
    }
    void list(const std::vector<int>& values) {
        count(values.size());
        for (const int v : values) put(v);
    }
    void text(const std::string& value) {
        count(value.size());
        std::copy(value.begin(), value.end(), room(value.size()));
    }
    void count(std::size_t n) {
        if (n >= kMostForecasterBytes)
            throw Error(ErrorKind::unsupported, "a forecaster is larger than 1 GB");
        put(static_cast<std::uint32_t>(n));
    }
    // Returns where end_section() puts the length.
    std::size_t begin_section(std::uint16_t tag) {
        put(tag);
        put(std::uint32_t{0});
        return used_;
    }
    void end_section(std::size_t start) { put_at(start - 4, used_ - start); }
    void put_at(std::size_t at, std::size_t value) {
        if (value >= kMostForecasterBytes) {
            throw Error(ErrorKind::unsupported, "a forecaster is larger than 1 GB");
        }
        const std::uint32_t v = static_cast<std::uint32_t>(value);
        std::memcpy(bytes_.data() + at, &v, sizeof v);
    }

  private:
    unsigned char* room(std::size_t n) {
        if (n > bytes_.size() - used_) bytes_.resize(std::max(2 * bytes_.size(), used_ + n));
        used_ += n;
        return bytes_.data() + used_ - n;
    }

    std::vector<unsigned char>& bytes_;
    std::size_t used_ = 0;
};

class ByteReader {
  public:
    ByteReader(const unsigned char* bytes, std::size_t length) : at_(bytes), left_(length) {}

    template <class T>
    void take(T& value) {
        static_assert(std::is_trivially_copyable_v<T> && !std::is_enum_v<T>);
        if (left_ < sizeof value) damaged("it ends early");
        std::memcpy(&value, at_, sizeof value);
        skip(sizeof value);
    }
    void take(bool& value) {
        const auto byte = get<std::uint8_t>();
        if (byte > 1) damaged("a truth value is neither 0 nor 1");
        value = byte == 1;
    }
    template <class T>
    [[nodiscard]] T get() {
        T value{};
        take(value);
        return value;
    }
    template <class... T>
    void all(T&... values) {
        (take(values), ...);
    }
    // An enumeration of one byte with the values 0 .. last.
    template <class E>
    void take_enum(E& value, E last) {
        static_assert(sizeof(E) == 1);
        const auto byte = get<std::uint8_t>();
        if (byte > static_cast<std::uint8_t>(last)) damaged("a code is not known");
        value = static_cast<E>(byte);
    }
    void list(std::vector<double>& values) {
        values.resize(count(sizeof(double)));
        const std::size_t size = values.size() * sizeof(double);
        if (size > 0) std::memcpy(values.data(), at_, size);
        skip(size);
    }
    void list(std::vector<int>& values) {
        values.resize(count(sizeof(std::int32_t)));
        for (int& v : values) take(v);
    }
    void text(std::string& value) {
        const std::size_t n = count(1);
        value.assign(reinterpret_cast<const char*>(at_), n);
        skip(n);
    }
    // Of elements that take at least `size` bytes each.
    [[nodiscard]] std::size_t count(std::size_t size) {
        const std::size_t n = get<std::uint32_t>();
        if (n > left_ / size) damaged("a list is longer than the bytes");
        return n;
    }
    // The next section, whose tag it returns; `out` reads its bytes.
    [[nodiscard]] std::uint16_t section(ByteReader& out) {
        const auto tag = get<std::uint16_t>();
        const std::size_t length = get<std::uint32_t>();
        if (length > left_) damaged("a section is longer than the bytes");
        out = ByteReader(at_, length);
        skip(length);
        return tag;
    }
    [[nodiscard]] bool empty() const noexcept { return left_ == 0; }
    void end() const {
        if (left_ != 0) damaged("a section is longer than its content");
    }

  private:
    void skip(std::size_t n) noexcept {
        if (n == 0) return;
        at_ += n;
        left_ -= n;
    }
    const unsigned char* at_;
    std::size_t left_;
};

}  // namespace many::core
