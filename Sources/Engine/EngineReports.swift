package import Adapters
package import StepModels

/// What happens to a request.
package enum EngineEvent: Sendable {
    case step(Step)
    /// The last event of a request that cannot be completed.
    case failed(EngineFailure)

    package struct Step: Sendable {
        /// Tokens of the prompt that were in the cache and did not have to be computed.
        package var foundPromptCount = 0
        /// Tokens that were drafted so far, and those of them that came true.
        package var draftedCount = 0
        package var acceptedCount = 0
        /// How long the device has worked for it, by its share of each step's rows.
        package var deviceSeconds = 0.0
        /// Steps that it was in, and the other sequences in them.
        package var stepCount = 0
        package var neighbourCount = 0
        /// How long it waited for its seat.
        package var queuedSeconds = 0.0
        /// Scores of the prompt's tokens from the second on, once, with the first event.
        package var promptScores: [TokenScores]?
        /// Nil only when the request asks for no tokens.
        package var token: Int32?
        package var scores: TokenScores?
        /// The prompt as a vector, when that was asked for.
        package var vector: [Float]?
        /// Set with the last event.
        package var finish: FinishReason?

        package init() {}
    }
}

package enum EngineFailure: Error, Sendable {
    /// The model's output was not a number: its weights or the adapter's are broken.
    case notFinite
    /// The engine is stopping.
    case stopped
    /// What the request asks its answer to be leaves no token, or takes too much work to follow.
    case constraintFailed
    /// The device that it runs on cannot go on.
    case deviceLost
    /// The device has no room for the adapter, though it is not too large by itself.
    case adapterRefused
}

/// What one step computed.
package struct StepReport: Sendable {
    package var tokenCount = 0
    /// Of prompts; the others were chosen before.
    package var promptTokenCount = 0
    package var sequenceCount = 0
    package var adapterCount = 0
    /// Tokens that were drafted, and those of them that came true.
    package var draftedCount = 0
    package var acceptedCount = 0
    /// Requests that were waiting before, some of them not for the first time.
    package var admitted: [RequestID] = []

    package init() {}

    init(batch: Batch, promptTokenCount: Int, sequenceCount: Int, admitted: [RequestID]) {
        self.admitted = admitted
        self.promptTokenCount = promptTokenCount
        tokenCount = batch.rowCount
        self.sequenceCount = sequenceCount
        // Segments of one adapter stand together.
        var last: DeviceAdapter?
        for segment in batch.segments where segment.adapter !== last {
            adapterCount += 1
            last = segment.adapter
        }
    }
}

/// Where the engine stands.
package struct EngineStatus: Sendable {
    package var runningCount = 0
    package var waitingCount = 0
    /// Tokens of prompts that no step has computed.
    package var waitingTokenCount = 0
    package var runningAdapters: [String] = []
    package var waitingAdapters: [String] = []
    package var blockCount = 0
    /// Blocks that a sequence may get, kept ones included.
    package var freeBlockCount = 0
    /// Blocks that nobody holds and that are kept for sequences that begin with the same tokens.
    package var keptBlockCount = 0
    /// Physical memory that the cache takes.
    package var cacheByteCount = 0
    /// Prompt tokens that were found in the cache so far.
    package var foundTokenCount = 0
    package var preemptionCount = 0
    /// Adapters on the device, where its memory is limited.
    package var deviceAdapters: Set<AdapterDigest> = []
    package var deviceAdapterByteCount = 0
    package var deviceAdapterCount: Int { deviceAdapters.count }
    /// How often an adapter was brought onto the device.
    package var activationCount = 0
    /// Of a device with memory of its own.
    package var deviceUsage: DeviceUsage?

    package init(
        runningCount: Int, waitingCount: Int, waitingTokenCount: Int, runningAdapters: [String],
        waitingAdapters: [String], blockCount: Int, freeBlockCount: Int, keptBlockCount: Int,
        cacheByteCount: Int, foundTokenCount: Int, preemptionCount: Int,
        deviceAdapters: Set<AdapterDigest>, deviceAdapterByteCount: Int, activationCount: Int,
        deviceUsage: DeviceUsage?
    ) {
        self.deviceUsage = deviceUsage
        self.runningCount = runningCount
        self.waitingCount = waitingCount
        self.waitingTokenCount = waitingTokenCount
        self.runningAdapters = runningAdapters
        self.waitingAdapters = waitingAdapters
        self.blockCount = blockCount
        self.freeBlockCount = freeBlockCount
        self.keptBlockCount = keptBlockCount
        self.cacheByteCount = cacheByteCount
        self.foundTokenCount = foundTokenCount
        self.preemptionCount = preemptionCount
        self.deviceAdapters = deviceAdapters
        self.deviceAdapterByteCount = deviceAdapterByteCount
        self.activationCount = activationCount
    }

    package init() {}
}
