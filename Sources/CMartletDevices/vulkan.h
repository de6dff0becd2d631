// What the parts of the Vulkan backend share.
#ifndef CMD_VULKAN_H
#define CMD_VULKAN_H

#include <pthread.h>

#include "Generated/vulkan_types.h"
#include "backend.h"

#define INSTANCE_CALLS(CALL) \
    CALL(vkDestroyInstance) CALL(vkEnumeratePhysicalDevices) CALL(vkGetPhysicalDeviceProperties2) \
    CALL(vkGetPhysicalDeviceFeatures2) CALL(vkGetPhysicalDeviceMemoryProperties2) \
    CALL(vkGetPhysicalDeviceQueueFamilyProperties) CALL(vkEnumerateDeviceExtensionProperties) \
    CALL(vkCreateDevice) CALL(vkGetDeviceProcAddr)

#define DEVICE_CALLS(CALL) \
    CALL(vkDestroyDevice) CALL(vkGetDeviceQueue) CALL(vkCreateBuffer) CALL(vkDestroyBuffer) \
    CALL(vkGetBufferMemoryRequirements) CALL(vkAllocateMemory) CALL(vkFreeMemory) \
    CALL(vkBindBufferMemory) CALL(vkMapMemory) CALL(vkGetBufferDeviceAddress) \
    CALL(vkCreatePipelineLayout) CALL(vkDestroyPipelineLayout) CALL(vkCreateShaderModule) \
    CALL(vkDestroyShaderModule) CALL(vkCreateComputePipelines) CALL(vkDestroyPipeline) \
    CALL(vkCreateCommandPool) CALL(vkDestroyCommandPool) CALL(vkAllocateCommandBuffers) \
    CALL(vkBeginCommandBuffer) CALL(vkEndCommandBuffer) CALL(vkCmdBindPipeline) \
    CALL(vkCmdPushConstants) CALL(vkCmdDispatch) CALL(vkCmdPipelineBarrier) CALL(vkCmdCopyBuffer) \
    CALL(vkCmdFillBuffer) CALL(vkCreateSemaphore) CALL(vkDestroySemaphore) CALL(vkQueueSubmit2) \
    CALL(vkWaitSemaphores) CALL(vkDeviceWaitIdle)

#define DECLARE(name) PFN_##name name;

// Newer than Debian 12's registry: VK_KHR_cooperative_matrix and VK_KHR_shader_bfloat16.
enum {
    CMD_MATRIX_FEATURES = 1000506000, CMD_MATRIX_PROPERTIES = 1000506001,
    CMD_BFLOAT16_FEATURES = 1000141000,
    CMD_COMPONENT_HALF = 0, CMD_COMPONENT_FLOAT = 1, CMD_COMPONENT_BFLOAT16 = 1000141000,
    CMD_SCOPE_SUBGROUP = 3,
};

typedef struct matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 matrices, robust_access;
} matrix_features;

typedef struct bfloat16_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 type, dot_product, matrices;
} bfloat16_features;

typedef struct matrix_properties {
    VkStructureType sType;
    void *pNext;
    uint32_t rows, columns, depth;
    int32_t a, b, c, result;
    VkBool32 saturates;
    int32_t scope;
} matrix_properties;

typedef VkResult (*list_matrices)(VkPhysicalDevice, uint32_t *, matrix_properties *);

/// The loader and an instance. Made anew for each use: probing is rare.
typedef struct instance {
    void *library;
    PFN_vkGetInstanceProcAddr find;
    VkInstance handle;
    INSTANCE_CALLS(DECLARE)
} instance;

/// A queue's records, and how far it is.
typedef struct vulkan_queue {
    VkQueue handle;
    uint32_t family;
    VkCommandPool pool;
    VkCommandBuffer records[RECORDS];
    VkSemaphore timeline;
    /// Both threads read these two.
    _Atomic uint64_t submitted;
    /// The last work that somebody has seen done.
    _Atomic uint64_t done;
} vulkan_queue;

typedef struct vulkan_device {
    cmd_device shared;
    instance instance;
    VkDevice handle;
    vulkan_queue queues[CMD_QUEUE_COUNT];
    /// Where the driver has one queue for both.
    pthread_mutex_t submitting;
    DEVICE_CALLS(DECLARE)
    /// Memory types for kernels' own memory and for the host's.
    uint32_t memory_types[2];
    VkPhysicalDeviceMemoryProperties memory;
    bool imports;
    uint32_t subgroup;
    VkPipelineLayout layout;
    VkPipeline pipelines[CMD_KERNEL_COUNT][2];
} vulkan_device;

bool vulkan_succeeded(VkResult result, const char *call, cmd_error *error);

/// Makes a driver call unless a test wants it to fail, and tells whether it succeeded.
#define TRY(table, call, error, ...) \
    (!cmd_is_injected(#call, error) \
     && vulkan_succeeded((table)->call(__VA_ARGS__), #call, error))

bool vulkan_open_instance(instance *own, cmd_error *error);
void vulkan_close_instance(instance *own);
/// The handles of all devices, to be freed; NULL with an error when there are none.
VkPhysicalDevice *vulkan_physical_devices(instance *own, uint32_t *count, cmd_error *error);
bool vulkan_has_extension(instance *own, VkPhysicalDevice device, const char *name);
/// The first queue family with all wanted flags and none of the others; UINT32_MAX when there is none.
uint32_t vulkan_queue_family(
    instance *own, VkPhysicalDevice device, VkQueueFlags wanted, VkQueueFlags unwanted);
/// An allowed memory type (a bit each) with all these flags; of several the first. UINT32_MAX when there is none.
uint32_t vulkan_memory_type(
    const VkPhysicalDeviceMemoryProperties *memory, VkMemoryPropertyFlags wanted, uint32_t allowed);
void vulkan_describe(instance *own, VkPhysicalDevice device, cmd_description *out);

size_t vulkan_list(cmd_description *descriptions, size_t capacity, cmd_error *error);
bool vulkan_begin(cmd_device *device, cmd_queue queue, uint64_t nanoseconds, cmd_error *error);
void vulkan_dispatch(
    cmd_device *device, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z);
void vulkan_barrier(cmd_device *device, cmd_queue queue);
void vulkan_copy(
    cmd_device *device, cmd_queue queue, const cmd_memory *from, uint64_t from_offset,
    const cmd_memory *to, uint64_t to_offset, uint64_t size);
void vulkan_fill(
    cmd_device *device, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word);
uint64_t vulkan_submit(cmd_device *device, cmd_queue queue, cmd_error *error);
bool vulkan_wait(
    cmd_device *device, cmd_queue queue, uint64_t work, uint64_t nanoseconds, cmd_error *error);
/// Waits for both queues, if the device still does anything.
void vulkan_wait_for_all(vulkan_device *device);

#endif
