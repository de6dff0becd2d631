#include <stdlib.h>
#include <string.h>

#include "vulkan.h"

// MARK: A device

static void vulkan_close(cmd_device *shared) {
    vulkan_device *device = (vulkan_device *)shared;
    if (device->handle != NULL) {
        if (device->vkDeviceWaitIdle != NULL) device->vkDeviceWaitIdle(device->handle);
        for (size_t kernel = 0; kernel < CMD_KERNEL_COUNT; kernel++)
            for (size_t element = 0; element < 2; element++)
                if (device->pipelines[kernel][element] != VK_NULL_HANDLE)
                    device->vkDestroyPipeline(device->handle, device->pipelines[kernel][element], NULL);
        for (size_t i = 0; i < CMD_QUEUE_COUNT; i++) {
            if (device->queues[i].timeline != VK_NULL_HANDLE)
                device->vkDestroySemaphore(device->handle, device->queues[i].timeline, NULL);
            if (device->queues[i].pool != VK_NULL_HANDLE)
                device->vkDestroyCommandPool(device->handle, device->queues[i].pool, NULL);
        }
        if (device->layout != VK_NULL_HANDLE)
            device->vkDestroyPipelineLayout(device->handle, device->layout, NULL);
        if (device->vkDestroyDevice != NULL) device->vkDestroyDevice(device->handle, NULL);
    }
    vulkan_close_instance(&device->instance);
    pthread_mutex_destroy(&device->submitting);
    free(device);
}

static const VkMemoryPropertyFlags host_flags =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

static bool choose_memory(vulkan_device *device, VkPhysicalDevice physical, cmd_error *error) {
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    device->instance.vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
    device->memory = memory.memoryProperties;
    const VkPhysicalDeviceMemoryProperties *types = &device->memory;
    device->memory_types[CMD_ON_DEVICE] =
        vulkan_memory_type(types, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, UINT32_MAX);
    // Cached, so that what kernels leave there is read at memory's speed.
    uint32_t host = vulkan_memory_type(types, host_flags | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, UINT32_MAX);
    device->memory_types[CMD_ON_HOST] = host != UINT32_MAX ? host : vulkan_memory_type(types, host_flags, UINT32_MAX);
    return device->memory_types[CMD_ON_HOST] != UINT32_MAX
        || cmd_fail(error, CMD_UNSUPPORTED, "it has no memory that the host reaches");
}

/// A queue's own things. Where the device copies beside kernels only on the queue of its kernels, both are that one.
static bool create_queue(vulkan_device *device, vulkan_queue *queue, cmd_error *error) {
    VkDevice handle = device->handle;
    device->vkGetDeviceQueue(handle, queue->family, 0, &queue->handle);
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, .queueFamilyIndex = queue->family};
    VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo semaphore = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    if (!TRY(device, vkCreateCommandPool, error, handle, &pool, NULL, &queue->pool)
        || !TRY(device, vkCreateSemaphore, error, handle, &semaphore, NULL, &queue->timeline))
        return false;
    VkCommandBufferAllocateInfo records = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = queue->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = RECORDS};
    return TRY(device, vkAllocateCommandBuffers, error, handle, &records, queue->records);
}

static bool create_device(
    vulkan_device *device, VkPhysicalDevice physical, const cmd_description *description,
    cmd_error *error) {
    instance *own = &device->instance;
    device->imports = vulkan_has_extension(own, physical, "VK_EXT_external_memory_host");
    device->subgroup = description->subgroup;
    bool has_tiles = description->has_half_tiles || description->has_bf16_tiles;
    const char *extensions[3];
    uint32_t extension_count = 0;
    if (device->imports) extensions[extension_count++] = "VK_EXT_external_memory_host";
    if (has_tiles) extensions[extension_count++] = "VK_KHR_cooperative_matrix";
    if (description->has_bf16_tiles) extensions[extension_count++] = "VK_KHR_shader_bfloat16";
    bfloat16_features bfloat16 = {
        .sType = (VkStructureType)CMD_BFLOAT16_FEATURES, .type = 1, .matrices = 1};
    matrix_features matrices = {
        .sType = (VkStructureType)CMD_MATRIX_FEATURES, .matrices = 1,
        .pNext = description->has_bf16_tiles ? &bfloat16 : NULL};
    VkPhysicalDeviceVulkan13Features v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .pNext = has_tiles ? &matrices : NULL, .synchronization2 = 1, .maintenance4 = 1,
        .subgroupSizeControl = has_tiles, .computeFullSubgroups = has_tiles};
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v13,
        .bufferDeviceAddress = 1, .timelineSemaphore = 1, .shaderFloat16 = description->has_half_tiles,
        .vulkanMemoryModel = has_tiles, .vulkanMemoryModelDeviceScope = has_tiles};
    VkPhysicalDeviceVulkan11Features v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &v12,
        .storageBuffer16BitAccess = 1};
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v11,
        .features = {.shaderInt64 = 1, .shaderInt16 = 1}};
    uint32_t family = vulkan_queue_family(own, physical, VK_QUEUE_COMPUTE_BIT, 0);
    uint32_t copies = vulkan_queue_family(
        own, physical, VK_QUEUE_TRANSFER_BIT, VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT);
    device->queues[CMD_STEPS].family = family;
    device->queues[CMD_COPIES].family = copies != UINT32_MAX ? copies : family;
    float priority = 1;
    VkDeviceQueueCreateInfo queues[CMD_QUEUE_COUNT];
    for (size_t i = 0; i < CMD_QUEUE_COUNT; i++)
        queues[i] = (VkDeviceQueueCreateInfo){
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = device->queues[i].family, .queueCount = 1,
            .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &features,
        .queueCreateInfoCount = copies != UINT32_MAX ? 2 : 1, .pQueueCreateInfos = queues,
        .enabledExtensionCount = extension_count, .ppEnabledExtensionNames = extensions};
    if (!TRY(own, vkCreateDevice, error, physical, &info, NULL, &device->handle)) {
        device->handle = NULL;
        return false;
    }
#define FIND(name) \
    device->name = (PFN_##name)own->vkGetDeviceProcAddr(device->handle, #name); \
    if (device->name == NULL) return cmd_fail(error, CMD_NO_DRIVER, "the Vulkan driver has no " #name);
    DEVICE_CALLS(FIND)
#undef FIND
    VkPushConstantRange range = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = ARGUMENT_BYTES};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range};
    return TRY(
               device, vkCreatePipelineLayout, error, device->handle, &layout, NULL, &device->layout)
        && create_queue(device, &device->queues[CMD_STEPS], error)
        && create_queue(device, &device->queues[CMD_COPIES], error)
        && choose_memory(device, physical, error);
}

static cmd_device *vulkan_open(size_t number, cmd_error *error) {
    vulkan_device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        cmd_fail(error, CMD_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    device->shared.backend = &cmd_vulkan;
    pthread_mutex_init(&device->submitting, NULL);
    uint32_t count = 0;
    VkPhysicalDevice *devices = NULL;
    bool is_open = vulkan_open_instance(&device->instance, error)
        && (devices = vulkan_physical_devices(&device->instance, &count, error)) != NULL;
    if (is_open && number >= count) is_open = cmd_fail(error, CMD_NO_DEVICE, "there is no such device");
    cmd_description description;
    if (is_open) {
        vulkan_describe(&device->instance, devices[number], &description);
        is_open = description.refusal[0] == 0 || cmd_fail(error, CMD_UNSUPPORTED, description.refusal);
    }
    is_open = is_open && create_device(device, devices[number], &description, error);
    free(devices);
    if (is_open) return &device->shared;
    vulkan_close(&device->shared);
    return NULL;
}

// MARK: Memory

static bool create_buffer(
    vulkan_device *device, uint64_t size, const void *next, VkBuffer *buffer, cmd_error *error) {
    // Both queues use all memory, without handing it over.
    uint32_t families[] = {device->queues[CMD_STEPS].family, device->queues[CMD_COPIES].family};
    bool is_shared = families[0] != families[1];
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .pNext = next, .size = size,
        .sharingMode = is_shared ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
        .queueFamilyIndexCount = is_shared ? 2 : 0, .pQueueFamilyIndices = families,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT
            | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    return TRY(device, vkCreateBuffer, error, device->handle, &info, NULL, buffer);
}

/// Gives a buffer its memory. On failure nothing is left of either.
static bool back(
    vulkan_device *device, VkBuffer buffer, uint64_t size, uint32_t type, const void *next,
    bool is_mapped, cmd_memory *out, cmd_error *error) {
    VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, .pNext = next,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = &flags, .allocationSize = size,
        .memoryTypeIndex = type};
    VkDeviceMemory memory = VK_NULL_HANDLE;
    void *host = NULL;
    if (!TRY(device, vkAllocateMemory, error, device->handle, &info, NULL, &memory)) {
        device->vkDestroyBuffer(device->handle, buffer, NULL);
        return false;
    }
    if (!TRY(device, vkBindBufferMemory, error, device->handle, buffer, memory, 0)
        || (is_mapped
            && !TRY(device, vkMapMemory, error, device->handle, memory, 0, VK_WHOLE_SIZE, 0, &host))) {
        device->vkDestroyBuffer(device->handle, buffer, NULL);
        device->vkFreeMemory(device->handle, memory, NULL);
        return false;
    }
    VkBufferDeviceAddressInfo address = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer};
    *out = (cmd_memory){
        .address = device->vkGetBufferDeviceAddress(device->handle, &address), .host = host,
        .size = size, .buffer = (void *)buffer, .memory = (void *)memory};
    return true;
}

static bool vulkan_allocate(
    cmd_device *shared, uint64_t size, cmd_place_of place, cmd_memory *out, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    VkBuffer buffer = VK_NULL_HANDLE;
    if (!create_buffer(device, size, NULL, &buffer, error)) return false;
    VkMemoryRequirements needs;
    device->vkGetBufferMemoryRequirements(device->handle, buffer, &needs);
    uint32_t type = device->memory_types[place];
    if ((needs.memoryTypeBits >> type & 1) == 0)
        type = vulkan_memory_type(
            &device->memory, place == CMD_ON_HOST ? host_flags : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
            needs.memoryTypeBits);
    if (type == UINT32_MAX) {
        device->vkDestroyBuffer(device->handle, buffer, NULL);
        return cmd_fail(error, CMD_UNSUPPORTED, "its memory does not take buffers");
    }
    if (!back(device, buffer, needs.size, type, NULL, place == CMD_ON_HOST, out, error)) return false;
    out->size = size;
    return true;
}

static bool vulkan_import(
    cmd_device *shared, void *host, uint64_t size, cmd_memory *out, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    if (!device->imports) return cmd_fail(error, CMD_UNSUPPORTED, "it does not take the host's memory");
    VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT};
    VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, .pHostPointer = host};
    VkBuffer buffer = VK_NULL_HANDLE;
    if (!create_buffer(device, size, &external, &buffer, error)) return false;
    if (!back(
            device, buffer, size, device->memory_types[CMD_ON_HOST], &import, false, out, error))
        return false;
    out->host = host;
    return true;
}

static void vulkan_free(cmd_device *shared, cmd_memory *memory) {
    vulkan_device *device = (vulkan_device *)shared;
    vulkan_wait_for_all(device);
    device->vkDestroyBuffer(device->handle, (VkBuffer)memory->buffer, NULL);
    device->vkFreeMemory(device->handle, (VkDeviceMemory)memory->memory, NULL);
    memset(memory, 0, sizeof *memory);
}

// MARK: Kernels

static bool vulkan_prepare(
    cmd_device *shared, cmd_kernel kernel, unsigned element, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    VkPipeline *pipeline = &device->pipelines[kernel][element];
    if (*pipeline != VK_NULL_HANDLE) return true;
    const cmd_code *code = &cmd_kernels[kernel][element];
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = code->spirv_size,
        .pCode = (const uint32_t *)code->spirv};
    VkShaderModule module = VK_NULL_HANDLE;
    if (!TRY(device, vkCreateShaderModule, error, device->handle, &info, NULL, &module)) return false;
    // Of kernels that work by subgroups: threads of a group, and of a subgroup.
    uint32_t sizes[2] = {4 * device->subgroup, device->subgroup};
    VkSpecializationMapEntry entries[2] = {
        {.constantID = 0, .offset = 0, .size = 4}, {.constantID = 1, .offset = 4, .size = 4}};
    VkSpecializationInfo constants = {
        .mapEntryCount = 2, .pMapEntries = entries, .dataSize = sizeof sizes, .pData = sizes};
    // Matrix instructions are shared by a subgroup: its size must be the one that the kernel counts with.
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = device->subgroup};
    bool has_matrices = kernel == CMD_PRODUCT_TILE_HALF || kernel == CMD_PRODUCT_TILE_BF16;
    VkComputePipelineCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .pNext = has_matrices ? &required : NULL,
            .flags = has_matrices ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = module, .pName = "main",
            .pSpecializationInfo = &constants},
        .layout = device->layout};
    bool is_made = TRY(
        device, vkCreateComputePipelines, error, device->handle, VK_NULL_HANDLE, 1, &create, NULL,
        pipeline);
    if (!is_made) *pipeline = VK_NULL_HANDLE;
    device->vkDestroyShaderModule(device->handle, module, NULL);
    return is_made;
}

/// What the list says: the budget that a driver tells there.
static bool vulkan_free_memory(cmd_device *device, uint64_t *bytes) {
    (void)device, (void)bytes;
    return false;
}

const cmd_backend cmd_vulkan = {
    .list = vulkan_list, .open = vulkan_open, .close = vulkan_close,
    .free_memory = vulkan_free_memory, .allocate = vulkan_allocate, .import = vulkan_import,
    .free = vulkan_free, .prepare = vulkan_prepare, .begin = vulkan_begin,
    .dispatch = vulkan_dispatch, .barrier = vulkan_barrier, .copy = vulkan_copy,
    .fill = vulkan_fill, .submit = vulkan_submit, .wait = vulkan_wait};
