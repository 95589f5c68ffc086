// Running the blocks of a launch.
#pragma once
#include "cuda.h"

namespace emulator {
struct Launch {
    const Kernel* kernel;
    std::shared_ptr<void> arguments;
    Index grid, block;
};

// Runs all blocks, side by side, and returns when all are done. The order of a block's threads between barriers is random.
void run(const Launch& launch);

// The kernel of this name, or null.
const Kernel* find(const char* name);
}  // namespace emulator
