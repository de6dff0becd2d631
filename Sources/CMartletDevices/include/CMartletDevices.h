// GPUs through Vulkan, as plain functions: what is there, memory with addresses, kernels, and a queue.
//
// Contract:
//   * the driver is found at run time (libvulkan.so.1); nothing here needs it to build or to start;
//   * a device belongs to one thread at a time, the functions do not lock;
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
    const char *name;             ///< of its entry point
    const unsigned char *bytes;   ///< SPIR-V
    size_t size;
} cmd_code;

/// By kernel, then by element: f32, bf16.
extern const cmd_code cmd_kernels[CMD_KERNEL_COUNT][2];

typedef enum cmd_status {
    CMD_OK,
    CMD_NO_DRIVER,        ///< no Vulkan library, or none that works
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

/// What a device is.
typedef struct cmd_description {
    char name[256];
    char driver[512];             ///< its name and version
    uint32_t vulkan_major;
    uint32_t vulkan_minor;
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

/// Describes the first devices.
///
/// Returns how many there are; 0 with an error when no driver works.
size_t cmd_list(cmd_description *descriptions, size_t capacity, cmd_error *error);

typedef struct cmd_device cmd_device;

/// Opens a device by its number in the list; NULL with an error.
cmd_device *cmd_open(size_t number, cmd_error *error);
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
    void *buffer;         ///< the driver's
    void *memory;
} cmd_memory;

bool cmd_allocate(
    cmd_device *device, uint64_t size, cmd_place_of place, cmd_memory *memory, cmd_error *error);
/// Hands the device memory of the host's, page-aligned, that stays the caller's; for tests that guard
/// its end.
bool cmd_import(
    cmd_device *device, void *host, uint64_t size, cmd_memory *memory, cmd_error *error);
void cmd_free(cmd_device *device, cmd_memory *memory);

/// Makes a kernel ready to be dispatched. It lives as long as the device.
bool cmd_prepare(
    cmd_device *device, cmd_kernel kernel, unsigned element, cmd_error *error);

// MARK: Work. Begin, then dispatches, barriers and copies, then submit.

/// Waits for the work before the last, whose record is used again, at most so long.
bool cmd_begin(cmd_device *device, uint64_t nanoseconds, cmd_error *error);
/// `arguments` are the kernel's block. The kernel is prepared.
void cmd_dispatch(
    cmd_device *device, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z);
/// What comes after sees what came before.
void cmd_barrier(cmd_device *device);
void cmd_copy(
    cmd_device *device, const cmd_memory *from, uint64_t from_offset, const cmd_memory *to,
    uint64_t to_offset, uint64_t size);
/// Fills with a word; offset and size are multiples of 4.
void cmd_fill(
    cmd_device *device, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word);
/// Returns the work's number; 0 with an error.
uint64_t cmd_submit(cmd_device *device, cmd_error *error);
/// Waits until a work is done.
bool cmd_wait(cmd_device *device, uint64_t work, uint64_t nanoseconds, cmd_error *error);

/// For tests: this thread's driver call of this number from now on, counted from 0, is not made and gives
/// `result` (a VkResult); none when it is negative.
void cmd_inject(long call, int result);
/// This thread's driver calls since the last `cmd_inject`.
long cmd_call_count(void);

#endif
