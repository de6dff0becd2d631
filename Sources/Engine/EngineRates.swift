/// How fast the engine is, and how long its requests take, measured as it goes.
package struct EngineRates: Sendable, Equatable {
    /// Prompt tokens a second of steps that had some; 0 until then.
    package private(set) var prefill = 0.0
    /// Chosen tokens a second of steps that had some; 0 until then.
    package private(set) var decode = 0.0
    /// Requests that ended, and their seconds from arrival to the end.
    package private(set) var finishedCount = 0
    package private(set) var finishedSeconds = 0.0

    /// Seconds of steps over which a rate is an average.
    private static let memory = 5.0

    package init() {}

    package mutating func add(_ report: StepReport, seconds: Double) {
        guard seconds > 0 else { return }
        EngineRates.add(report.promptTokenCount, seconds, to: &prefill)
        let wrongCount = report.draftedCount - report.acceptedCount
        EngineRates.add(
            report.tokenCount - report.promptTokenCount - wrongCount, seconds, to: &decode)
    }

    package mutating func addRequest(seconds: Double) {
        finishedCount += 1
        finishedSeconds += seconds
    }

    private static func add(_ count: Int, _ seconds: Double, to rate: inout Double) {
        guard count > 0 else { return }
        let now = Double(count) / seconds
        rate = rate == 0 ? now : rate + (now - rate) * min(1, seconds / memory)
    }
}
