#ifndef PLAYED_CUDA_H
#define PLAYED_CUDA_H

#include <stddef.h>
#include <stdint.h>

/// A CUDA driver that the processor plays, so that code for the real one can be tested without a
/// card. It reads PTX, runs it thread by thread as the rules of CUDA allow, and looks for what a
/// card would not tell: accesses beyond an allocation, races, memory nobody wrote.
///
/// Streams do nothing until somebody waits or asks, so that code that forgets to wait is found.
/// Fresh memory is full of 0xff bytes, which are no numbers as floats.

/// The driver's function of that name, as `dlsym` would give it: "cuMemAlloc_v2". NULL if the
/// played driver has none.
void *played_cuda_find(const char *name);

/// What went wrong first since the last reset, in words: the kernel, the group, the thread, the
/// instruction. NULL if nothing did. The text stays until the next reset or the thread's next
/// call of this function.
const char *played_cuda_fault(void);

/// Forgets everything: allocations, modules, streams, events, contexts, the fault, and what was
/// set below. Handles from before are invalid then. No other thread may be inside the driver.
void played_cuda_reset(void);

/// What is still there: allocations, modules, streams, events, and retained contexts.
size_t played_cuda_live(void);

/// The bytes that each device has (16 GiB at first); more gives CUDA_ERROR_OUT_OF_MEMORY.
void played_cuda_set_memory(uint64_t bytes);

/// How many devices there are (one at first, eight at most).
void played_cuda_set_devices(int count);

/// How many instructions a launch may run in all threads together, before it counts as hung.
void played_cuda_set_limit(uint64_t instructions);

/// Instructions run since the last reset, each thread's counted.
uint64_t played_cuda_instructions(void);

#endif
