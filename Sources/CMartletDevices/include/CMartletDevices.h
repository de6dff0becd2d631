// GPUs through Vulkan or CUDA, as plain functions: what is there, memory with addresses, kernels, and two queues.
//
// Contract:
//   * drivers are found at run time (libvulkan.so.1, libcuda.so.1); nothing here needs one to build or to start;
//   * each queue of a device belongs to one thread at a time, and its functions do not lock; memory and kernels
//     may be made and freed by any thread, one at a time for each device;
//   * what can fail says so in a cmd_error; after CMD_DEVICE_LOST a device can only be closed;
//   * kernels read and write memory through addresses that their arguments hold. Nobody checks those:
//     the caller (the Swift module Devices) makes them from memory that it holds.
#ifndef CMARTLETDEVICES_H
#define CMARTLETDEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_arguments.h"

/// A compiled kernel.
typedef struct cmd_code {
    const unsigned char *spirv;
    size_t spirv_size;
    const char *ptx;              ///< text; NULL where the kernel has none
    const char *entry;            ///< of the text
    uint32_t threads;             ///< of a group, for CUDA
} cmd_code;

/// By kernel, then by element: f32, bf16.
extern const cmd_code cmd_kernels[CMD_KERNEL_COUNT][2];

typedef enum cmd_status {
    CMD_OK,
    CMD_NO_DRIVER,        ///< no such library, or none that works
    CMD_NO_DEVICE,        ///< no device with that number
    CMD_UNSUPPORTED,      ///< the device lacks something that kernels need
    CMD_OUT_OF_MEMORY,
    CMD_DEVICE_LOST,
    CMD_TIMED_OUT,
    CMD_FAILED,           ///< anything else that a driver says
} cmd_status;

typedef struct cmd_error {
    cmd_status status;
    char text[200];
} cmd_error;

typedef enum cmd_api {
    CMD_VULKAN,
    CMD_CUDA,
    CMD_API_COUNT,
} cmd_api;

/// What a device is.
typedef struct cmd_description {
    char name[256];
    char driver[512];             ///< its name and version
    uint32_t version_major;       ///< of Vulkan, or of the CUDA that the driver knows
    uint32_t version_minor;
    bool is_software;             ///< the processor plays the device
    bool shares_memory;           ///< its memory is the host's
    bool has_copy_queue;          ///< one that copies beside kernels
    uint64_t memory;              ///< bytes of its own memory
    bool tells_free_memory;
    uint64_t free_memory;         ///< bytes of it that nobody has, as the driver estimates
    uint64_t largest_allocation;
    uint32_t subgroup;            ///< threads that run in step
    bool has_bf16_tiles;          ///< matrix instructions of 16 by 16 by 16, bf16 into f32
    bool has_half_tiles;          ///< of 8 by 8 by 8, half floats into f32
    char refusal[160];            ///< why kernels cannot run on it, empty if they can
} cmd_description;

/// Keeps a static program from loading libraries, for names of hosts too, which it then looks up in files and DNS alone. They
/// want the C library that they were made with, and end a process that has another. Does nothing in other programs.
///
/// To be called before there are threads.
void cmd_avoid_libraries(void);

/// Describes the first devices that one kind of driver finds.
///
/// Returns how many there are; 0 with an error when no driver works.
size_t cmd_list(cmd_api api, cmd_description *descriptions, size_t capacity, cmd_error *error);

typedef struct cmd_device cmd_device;

/// Opens a device by its number in the list; NULL with an error.
cmd_device *cmd_open(cmd_api api, size_t number, cmd_error *error);
/// Bytes of an open device's memory that nobody has; false when the driver does not say.
bool cmd_free_memory(cmd_device *device, uint64_t *bytes);
/// Waits for what is running. Memory and kernels must have been freed.
void cmd_close(cmd_device *device);

typedef enum cmd_place_of {
    CMD_ON_DEVICE,        ///< kernels' own, no host pointer
    CMD_ON_HOST,          ///< host memory that kernels and copies reach, coherent
} cmd_place_of;

typedef struct cmd_memory {
    uint64_t address;     ///< for kernels, a multiple of 256
    void *host;           ///< NULL on the device
    uint64_t size;
    void *buffer;         ///< Vulkan's
    void *memory;
} cmd_memory;

bool cmd_allocate(
    cmd_device *device, uint64_t size, cmd_place_of place, cmd_memory *memory, cmd_error *error);
/// Hands the device memory of the host's, page-aligned, that stays the caller's; for tests that guard
/// its end.
bool cmd_import(
    cmd_device *device, void *host, uint64_t size, cmd_memory *memory, cmd_error *error);
/// Waits until nothing that was submitted can reach the memory, at most a minute.
void cmd_free(cmd_device *device, cmd_memory *memory);

/// Makes a kernel ready to be dispatched. It lives as long as the device.
bool cmd_prepare(
    cmd_device *device, cmd_kernel kernel, unsigned element, cmd_error *error);

// MARK: Work. Begin, then dispatches, barriers and copies, then submit.

/// Work of one queue is done in its order. Of the other's it sees what is known to be done when it is submitted.
typedef enum cmd_queue {
    CMD_STEPS,            ///< kernels and copies
    CMD_COPIES,           ///< copies beside them, where the device can
    CMD_QUEUE_COUNT,
} cmd_queue;

/// Waits for the work before the last, whose record is used again, at most so long.
bool cmd_begin(cmd_device *device, cmd_queue queue, uint64_t nanoseconds, cmd_error *error);
/// On the queue of steps. `arguments` are the kernel's block. The kernel is prepared.
void cmd_dispatch(
    cmd_device *device, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z);
/// What comes after sees what came before.
void cmd_barrier(cmd_device *device, cmd_queue queue);
void cmd_copy(
    cmd_device *device, cmd_queue queue, const cmd_memory *from, uint64_t from_offset, const cmd_memory *to,
    uint64_t to_offset, uint64_t size);
/// On the queue of steps. Fills with a word; offset and size are multiples of 4.
void cmd_fill(
    cmd_device *device, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word);
/// Returns the work's number among the queue's; 0 with an error.
uint64_t cmd_submit(cmd_device *device, cmd_queue queue, cmd_error *error);
/// Waits until a work is done, and all before it on its queue. CMD_TIMED_OUT when it is not yet.
bool cmd_wait(
    cmd_device *device, cmd_queue queue, uint64_t work, uint64_t nanoseconds, cmd_error *error);

// MARK: For tests

/// CUDA's functions come from here instead of libcuda.so.1; NULL undoes that.
void cmd_use_cuda(void *(*find)(const char *name));
/// A thread's driver call that is not made and fails.
typedef struct cmd_injection cmd_injection;
/// This thread's driver call of this number from now on, counted from 0, fails with `status`.
void cmd_inject(long call, cmd_status status);
/// This thread's injection for another thread that works for it, to be adopted there; NULL when it has none.
cmd_injection *cmd_share_injection(void);
/// This thread has that injection from now on, or none. Returns how many calls were counted by the last.
long cmd_adopt_injection(cmd_injection *injection);

#endif
