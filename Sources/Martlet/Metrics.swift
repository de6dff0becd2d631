internal import Engine

extension LanguageModel {
    /// Where the engine stands.
    public struct Metrics: Sendable, Hashable {
        /// Requests that are being computed, and that wait.
        public let runningCount: Int
        public let waitingCount: Int
        /// The share of the cache that is in use, 0 to 1.
        public let cacheUse: Double
        /// Prompt tokens that were found in the cache so far.
        public let cachedTokenCount: Int
        /// Tokens of prompts, and of answers, a second while there were some; 0 until then.
        public let prefillRate: Double
        public let decodeRate: Double
        public let finishedCount: Int

        init(_ engine: InferenceEngine) {
            let (status, rates) = (engine.status, engine.rates)
            runningCount = status.runningCount
            waitingCount = status.waitingCount
            cacheUse =
                status.blockCount == 0
                ? 0 : 1 - Double(status.freeBlockCount) / Double(status.blockCount)
            cachedTokenCount = status.foundTokenCount
            prefillRate = rates.prefill
            decodeRate = rates.decode
            finishedCount = rates.finishedCount
        }
    }
}
