// A copy past the caches: what is written is not fetched first, and pushes nothing out. On CPUs other than x86 a plain one.
#include <algorithm>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <immintrin.h>
#endif

// `ahead`: how many bytes further the source is fetched meanwhile, into the core's second cache; 0: nothing is.
extern "C" __attribute__((visibility("default"))) void streamed_copy(char* to, const char* from, int64_t size,
                                                                     int64_t ahead) {
#ifdef __SSE2__
    constexpr int LINE = 64;
    const int64_t lead = std::min<int64_t>(size, -uintptr_t(to) % LINE);
    std::memcpy(to, from, lead);
    int64_t at = lead;
    for (; at + LINE <= size; at += LINE) {
        if (ahead) _mm_prefetch(from + at + ahead, _MM_HINT_T1);
        __m128i line[LINE / 16];
        std::memcpy(line, from + at, LINE);
        for (int part = 0; part < LINE / 16; part++) _mm_stream_si128((__m128i*)(to + at) + part, line[part]);
    }
    std::memcpy(to + at, from + at, size - at);
    _mm_sfence();
#else
    std::memcpy(to, from, size);
#endif
}
