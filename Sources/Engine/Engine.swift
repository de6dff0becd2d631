internal import Adapters
internal import Dispatch
internal import Foundation
internal import Metrics
internal import ServiceLifecycle
internal import StepModels

/// The engine's thread and what surrounds it: a bounded way in, a stream of events out.
///
/// Everything that decides is in `EngineCore`, which the thread alone touches.
package final class InferenceEngine: Service {
    package let limits: EngineLimits
    private let mailbox: Mailbox
    /// Says why when the engine's device cannot go on.
    private let failures: AsyncStream<StepFailure>
    private let start: @Sendable (Mailbox) -> Void

    /// - Parameter makeCore: called on the engine's thread, where the core then stays.
    package init(limits: EngineLimits, makeCore: @escaping @Sendable () -> EngineCore) {
        self.limits = limits
        mailbox = Mailbox(
            capacity: limits.maximumSequences + limits.maximumWaiting,
            seats: limits.maximumSequences)
        let (failures, continuation) = AsyncStream<StepFailure>.makeStream()
        self.failures = failures
        start = { mailbox in
            let thread = Thread {
                EngineLoop(core: makeCore(), mailbox: mailbox, failures: continuation).run()
            }
            thread.name = "martlet.engine"
            thread.stackSize = 8 << 20
            thread.qualityOfService = .userInitiated
            thread.start()
        }
    }

    /// Runs the engine until the service group shuts down. By then the server has let its requests
    /// finish; what is left is failed.
    ///
    /// - Throws: `StepFailure` when the device cannot go on: the process is to end and to be started anew.
    package func run() async throws {
        start(mailbox)
        for await failure in failures.cancelOnGracefulShutdown() { throw failure }
        await mailbox.stop()
    }

    /// Hands a request to the engine.
    ///
    /// - Parameter patience: seconds within which its first token must come, if that can be told; nil to wait.
    /// - Returns: its events. A consumer that goes away cancels the request.
    package func submit(
        _ request: EngineRequest, patience: Double? = nil
    ) throws(SubmissionRefused) -> AsyncThrowingStream<EngineEvent.Step, any Error> {
        let (stream, continuation) = AsyncThrowingStream<EngineEvent.Step, any Error>.makeStream()
        let (mailbox, id) = (mailbox, request.id)
        if let refusal = mailbox.submit(request, continuation, patience) { throw refusal }
        continuation.onTermination = { reason in
            if case .cancelled = reason { mailbox.cancel(id) }
        }
        return stream
    }

    /// Drops a request whose events nobody wants any more.
    package func cancel(_ id: RequestID) { mailbox.cancel(id) }

    /// Fails every request there is and every one that comes, with `EngineFailure.stopped`: who waits gets
    /// to say so before the server ends.
    package func refuseAll() { mailbox.refuseAll() }

    /// Where the engine stands after its last step.
    package var status: EngineStatus { mailbox.status }

    /// What has been measured since it began.
    package var rates: EngineRates { mailbox.rates }

    /// Whether it has requests, from the moment they are submitted.
    package var isBusy: Bool { mailbox.hasRequests }

    /// A number for a new request.
    package func nextID() -> RequestID { mailbox.nextID() }
}

/// Why a request was not taken.
package enum SubmissionRefused: Error, Sendable, Equatable {
    /// As many are waiting as may.
    case isFull
    /// Its first token would come after so many seconds.
    case isLate(seconds: Double)
}

/// What the engine's thread and the rest of the process share.
private final class Mailbox: @unchecked Sendable {
    // Safety: everything below is touched only while `condition` is locked.
    typealias Continuation = AsyncThrowingStream<EngineEvent.Step, any Error>.Continuation

    private let condition = NSCondition()
    private let capacity: Int
    private var commands: [EngineCore.Command] = []
    /// When each request was submitted that no command has brought to the engine yet.
    private var arrivals: [RequestID: ContinuousClock.Instant] = [:]
    private var continuations: [RequestID: Continuation] = [:]
    /// When each of them was submitted.
    private var starts: [RequestID: ContinuousClock.Instant] = [:]
    private var measured = EngineRates()
    private var isRefusing = false
    private var isStopping = false
    private var stopped: [CheckedContinuation<Void, Never>] = []
    private var hasStopped = false
    private var lastStatus = EngineStatus()
    private var lastID: UInt64 = 0
    private var forecast: QueueForecast
    private let origin = ContinuousClock.now

    init(capacity: Int, seats: Int) {
        self.capacity = capacity
        forecast = QueueForecast(seats: seats)
    }

    private var now: Double { (ContinuousClock.now - origin) / .seconds(1) }

    private func locked<Result>(_ body: () -> Result) -> Result {
        condition.lock()
        defer { condition.unlock() }
        return body()
    }

    var status: EngineStatus {
        get { locked { lastStatus } }
        set { locked { lastStatus = newValue } }
    }

    var rates: EngineRates { locked { measured } }

    func record(_ report: StepReport, duration: Duration) {
        locked {
            measured.add(report, seconds: duration / .seconds(1))
        }
    }

    func admit(_ ids: [RequestID]) {
        guard !ids.isEmpty else { return }
        locked { for id in ids { forecast.admit(id, at: now) } }
    }

    var hasRequests: Bool { locked { !continuations.isEmpty } }

    func nextID() -> RequestID {
        locked {
            lastID += 1
            return RequestID(lastID)
        }
    }

    /// - Returns: why it is not taken.
    func submit(
        _ request: EngineRequest, _ continuation: Continuation, _ patience: Double?
    ) -> SubmissionRefused? {
        locked {
            guard !isStopping, !isRefusing else {
                continuation.finish(throwing: EngineFailure.stopped)
                return nil
            }
            guard continuations.count < capacity else { return .isFull }
            if let patience {
                let wait = forecast.wait(
                    for: request.flow, promptCount: request.prompt.count, rate: measured.prefill,
                    lastStatus)
                if wait > patience { return .isLate(seconds: wait) }
            }
            forecast.submit(
                request.id, request.flow, promptCount: request.prompt.count, at: now)
            continuations[request.id] = continuation
            starts[request.id] = .now
            commands.append(.submit(request))
            arrivals[request.id] = .now
            condition.signal()
            return nil
        }
    }

    func cancel(_ id: RequestID) {
        let continuation: Continuation? = locked {
            guard let continuation = continuations.removeValue(forKey: id) else { return nil }
            starts[id] = nil
            forecast.end(id, at: now, isWhole: false)
            commands.append(.cancel(id))
            condition.signal()
            return continuation
        }
        continuation?.finish(throwing: CancellationError())
    }

    func refuseAll() {
        let refused = locked {
            isRefusing = true
            commands += continuations.keys.map { .cancel($0) }
            for id in continuations.keys { forecast.end(id, at: now, isWhole: false) }
            starts = [:]
            condition.signal()
            defer { continuations = [:] }
            return Array(continuations.values)
        }
        for continuation in refused { continuation.finish(throwing: EngineFailure.stopped) }
    }

    /// Commands since the last call, and when they were given. Waits for one when there is nothing else
    /// to do.
    ///
    /// - Returns: nil when the engine is to stop.
    func take(
        waiting: Bool
    ) -> (commands: [EngineCore.Command], arrivals: [RequestID: ContinuousClock.Instant])? {
        locked {
            while waiting, commands.isEmpty, !isStopping { condition.wait() }
            if isStopping { return nil }
            defer {
                commands = []
                arrivals = [:]
            }
            return (commands, arrivals)
        }
    }

    func deliver(_ outputs: [EngineCore.Output]) {
        for output in outputs {
            var output = output
            let isLast: Bool
            switch output.event {
            case .step(let step): isLast = step.finish != nil
            case .failed: isLast = true
            }
            let continuation: Continuation? = locked {
                if case .step(var step) = output.event {
                    step.queuedSeconds = forecast.queued(output.id)
                    output.event = .step(step)
                    forecast.answer(output.id, foundCount: step.foundPromptCount)
                }
                guard isLast else { return continuations[output.id] }
                forecast.end(output.id, at: now, isWhole: true)
                if let start = starts.removeValue(forKey: output.id) {
                    measured.addRequest(seconds: (.now - start) / .seconds(1))
                }
                return continuations.removeValue(forKey: output.id)
            }
            switch output.event {
            case .step(let step):
                continuation?.yield(step)
                if isLast { continuation?.finish() }
            case .failed(let failure):
                continuation?.finish(throwing: failure)
            }
        }
    }

    func stop() async {
        await withCheckedContinuation { waiter in
            let alreadyStopped = locked {
                isStopping = true
                condition.signal()
                if !hasStopped { stopped.append(waiter) }
                return hasStopped
            }
            if alreadyStopped { waiter.resume() }
        }
    }

    /// Called by the thread as its last act.
    func didStop() {
        let (waiters, open) = locked {
            hasStopped = true
            defer { continuations = [:] }
            return (stopped, Array(continuations.values))
        }
        for continuation in open { continuation.finish(throwing: EngineFailure.stopped) }
        for waiter in waiters { waiter.resume() }
    }
}

/// What the thread does.
private struct EngineLoop {
    var core: EngineCore
    let mailbox: Mailbox
    let failures: AsyncStream<StepFailure>.Continuation
    let metrics = EngineMetrics()
    /// Wakes the tasks of many requests, which takes longer than choosing their tokens, beside the next step.
    let delivery = DispatchQueue(label: "martlet.delivery", qos: .userInitiated)

    private static let fewOutputs = 2

    init(
        core: EngineCore, mailbox: Mailbox, failures: AsyncStream<StepFailure>.Continuation
    ) {
        self.core = core
        self.mailbox = mailbox
        self.failures = failures
    }

    consuming func run() {
        var core = core
        var status = core.status
        metrics.record(status, after: EngineStatus())
        var arrivals: [RequestID: ContinuousClock.Instant] = [:]
        while let (commands, new) = mailbox.take(waiting: core.isIdle) {
            if !new.isEmpty { arrivals.merge(new) { $1 } }
            for command in commands {
                if case .cancel(let id) = command { arrivals[id] = nil }
                core.apply(command)
            }
            let start = ContinuousClock.now
            var outputs = core.step()
            if core.report.tokenCount > 0 {
                let duration = ContinuousClock.now - start
                core.attribute(duration / .seconds(1), to: &outputs)
                metrics.record(core.report, duration: duration)
                mailbox.record(core.report, duration: duration)
            }
            mailbox.admit(core.report.admitted)
            for id in core.report.admitted {
                if let arrival = arrivals.removeValue(forKey: id) {
                    metrics.record(wait: start - arrival)
                }
            }
            let previous = status
            status = core.status
            mailbox.status = status
            metrics.record(status, after: previous)
            if outputs.count > EngineLoop.fewOutputs {
                delivery.async { [mailbox, outputs] in mailbox.deliver(outputs) }
            } else if !outputs.isEmpty {
                // On this thread: waking another one costs more. The queue keeps the order of steps.
                delivery.sync { mailbox.deliver(outputs) }
            }
            if let failure = core.failure {
                // Whoever waits is told before the service ends.
                delivery.sync {}
                failures.yield(failure)
                failures.finish()
            }
        }
        delivery.sync {}
        mailbox.didStop()
    }
}

/// The engine's metrics; names are documented in docs/operating/running.md.
private struct EngineMetrics {
    private let steps = Counter(label: "martlet_steps_total")
    private let stepTokens = Recorder(label: "martlet_step_tokens")
    private let stepSequences = Recorder(label: "martlet_step_sequences")
    private let stepAdapters = Recorder(label: "martlet_step_adapters")
    private let draftedTokens = Counter(label: "martlet_draft_tokens_total")
    private let acceptedTokens = Counter(label: "martlet_draft_tokens_accepted_total")
    private let stepDuration = Recorder(label: "martlet_step_seconds")
    private let queueDuration = Recorder(label: "martlet_queue_seconds")
    private let running = Gauge(label: "martlet_requests_running")
    private let waiting = Gauge(label: "martlet_requests_waiting")
    private let blocks = Gauge(label: "martlet_kv_blocks")
    private let freeBlocks = Gauge(label: "martlet_kv_blocks_free")
    private let keptBlocks = Gauge(label: "martlet_kv_blocks_kept")
    private let cacheBytes = Gauge(label: "martlet_kv_bytes_resident")
    private let foundTokens = Counter(label: "martlet_prefix_tokens_found_total")
    private let preemptions = Counter(label: "martlet_preemptions_total")
    private let deviceAdapters = Gauge(label: "martlet_adapters_device")
    private let deviceBytes = Gauge(label: "martlet_adapter_bytes_device")
    private let activations = Counter(label: "martlet_adapter_activations_total")
    private let uploads = Counter(label: "martlet_adapter_uploads_total")
    private let uploadBytes = Counter(label: "martlet_adapter_upload_bytes_total")
    private let uploadSeconds = FloatingPointCounter(label: "martlet_adapter_upload_seconds_total")
    private let pages = Gauge(label: "martlet_device_pages")
    private let freePages = Gauge(label: "martlet_device_pages_free")

    func record(_ report: StepReport, duration: Duration) {
        steps.increment()
        stepTokens.record(report.tokenCount)
        stepSequences.record(report.sequenceCount)
        stepAdapters.record(report.adapterCount)
        draftedTokens.increment(by: report.draftedCount)
        acceptedTokens.increment(by: report.acceptedCount)
        stepDuration.record(duration / .seconds(1))
    }

    /// - Parameter wait: from a request's arrival until it is first computed.
    func record(wait: Duration) { queueDuration.record(wait / .seconds(1)) }

    func record(_ status: EngineStatus, after previous: EngineStatus) {
        running.record(status.runningCount)
        waiting.record(status.waitingCount)
        blocks.record(status.blockCount)
        freeBlocks.record(status.freeBlockCount)
        keptBlocks.record(status.keptBlockCount)
        cacheBytes.record(status.cacheByteCount)
        foundTokens.increment(by: status.foundTokenCount - previous.foundTokenCount)
        preemptions.increment(by: status.preemptionCount - previous.preemptionCount)
        deviceAdapters.record(status.deviceAdapterCount)
        deviceBytes.record(status.deviceAdapterByteCount)
        activations.increment(by: status.activationCount - previous.activationCount)
        guard let usage = status.deviceUsage else { return }
        let before = previous.deviceUsage ?? DeviceUsage(pageCount: 0, freePageCount: 0)
        pages.record(usage.pageCount)
        freePages.record(usage.freePageCount)
        uploads.increment(by: usage.uploadCount - before.uploadCount)
        uploadBytes.increment(by: usage.uploadByteCount - before.uploadByteCount)
        uploadSeconds.increment(by: usage.uploadSeconds - before.uploadSeconds)
    }
}
