internal import Engine
internal import Foundation
internal import ModelFiles
internal import StepModels
internal import Tensors

extension LanguageModel {
    /// How a model is computed, and how much memory it may have.
    public struct Configuration: Sendable {
        /// What weights are kept in. Fewer bits are faster and further from the file's numbers.
        public enum Weights: String, Sendable, CaseIterable {
            case f32, bf16
            /// 8 and 4 bits.
            case q8, q4
        }

        public var weights: Weights
        /// Threads that compute; all cores unless said otherwise.
        public var threads: Int
        /// Tokens that a prompt and its answer may have together; nil for as many as the model and the cache allow.
        public var contextLength: Int?
        /// Requests that are computed at once; more wait.
        public var maximumSequences = 64
        /// Tokens of all requests that a step computes at most.
        public var maximumStepTokens = 256
        /// Bytes for keys and values; a quarter of the machine's memory and 4 GiB at most, unless said otherwise.
        public var cacheByteCount: Int

        public init(weights: Weights = .bf16) {
            self.weights = weights
            threads = WorkerTeam.defaultMemberCount
            let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
            cacheByteCount = min(4 << 30, memory / 4)
        }
    }
}

extension LanguageModel.Configuration.Weights {
    var format: WeightFormat {
        switch self {
        case .f32: .f32
        case .bf16: .bf16
        case .q8: .q8
        case .q4: .q4
        }
    }

    var activations: ComputeFormat { self == .f32 ? .f32 : .bf16 }
}

extension LanguageModel.Configuration {
    private static let mostWaiting = 1024
    /// Of tokens whose keys and values stay for prompts that begin alike.
    private static let keptByteCount = 128 << 20

    /// - Throws: ``MartletError`` for what cannot be.
    func limits(for model: ModelConfiguration) throws(MartletError) -> EngineLimits {
        try MartletError.check(threads, 1...1024, "threads")
        try MartletError.check(maximumSequences, 1...4096, "maximumSequences")
        try MartletError.check(maximumStepTokens, 1...8192, "maximumStepTokens")
        try MartletError.check(contextLength, 16...1 << 22, "contextLength")
        try MartletError.check(cacheByteCount, 0...1 << 44, "cacheByteCount")
        let block = KeyValueCache.blockByteCount(
            format: weights.activations, layerCount: model.layerCount,
            headCount: model.keyValueHeadCount, headDimension: model.headDimension)
        let wanted = contextLength ?? model.contextLength
        let positions = KeyValueCache.blockPositions
        let useful = maximumSequences * ((wanted + positions - 1) / positions)
        let blockCount = min(cacheByteCount / block, useful)
        let room = blockCount * positions
        guard room >= min(wanted, 16), contextLength.map({ $0 <= room }) ?? true else {
            throw MartletError(
                "cache_too_small",
                "The cache holds \(room) tokens, and a sequence may have \(wanted): cacheByteCount must be larger, or contextLength smaller."
            )
        }
        var limits = EngineLimits(
            maximumSequences: maximumSequences, maximumStepTokens: maximumStepTokens,
            maximumContext: min(wanted, room), blockCount: blockCount,
            maximumWaiting: Self.mostWaiting,
            keptBlockCount: min(Self.keptByteCount, cacheByteCount) / block)
        limits.draftRows = min(16, maximumStepTokens)
        return limits
    }
}
