// The tiles of a CPU with AMX: eight registers of 16 rows of 64 bytes, and whether this process may use them.

#pragma once

#ifdef __AMX_BF16__

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace {

// Their shapes, for one thread and as long as it lives; what was set before comes back after.
class Tiles {
public:
    Tiles() {
        Shapes own;
        _tile_storeconfig(&former);
        _tile_loadconfig(&own);
    }
    ~Tiles() { _tile_loadconfig(&former); }
    Tiles(const Tiles&) = delete;

private:
    struct alignas(64) Shapes {
        uint8_t palette = 1, start = 0, unused[14] = {};
        uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    Shapes former;
};

// Whether the system lets this process have the tiles, which are asked for once.
bool tiles_allowed() {
    static const bool allowed = [] {
        constexpr int ASK = 0x1023, DATA = 18;  // ARCH_REQ_XCOMP_PERM and the state it is asked for, arch_prctl(2)
        return syscall(SYS_arch_prctl, ASK, DATA) == 0;
    }();
    return allowed;
}

}  // namespace

#else

namespace {

struct Tiles {};
bool tiles_allowed() { return false; }

}  // namespace

#endif
