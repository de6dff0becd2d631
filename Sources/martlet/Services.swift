import AdapterStore
import Engine
import Foundation
import Logging
import Server
import ServiceLifecycle
import Tenants
import UnixSignals

/// The server with the end of its drain: requests that are still running at the deadline are failed, so
/// that their clients are told.
struct Draining<Inner: Service>: Service {
    let server: Inner
    let engine: InferenceEngine
    let library: AdapterLibrary
    let deadline: Duration

    func run() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await server.run()
                return true
            }
            group.addTask {
                do {
                    try await gracefulShutdown()
                    try await Task.sleep(for: deadline)
                    engine.refuseAll()
                    library.stop()
                } catch is CancellationError {}
                return false
            }
            while let isServer = try await group.next(), !isServer {}
            group.cancelAll()
        }
    }
}

/// Tells routers that the server is going to stop, a moment before it does.
struct Announcing: Service {
    let identity: ReplicaIdentity
    /// Nil to wait only for routers that listen.
    let delay: Duration?

    func run() async throws {
        try? await gracefulShutdown()
        identity.isDraining = true
        let usual: Duration = identity.hasListeners ? .seconds(1) : .zero
        try? await Task.sleep(for: delay ?? usual)
    }
}

/// Ends the process when something keeps it from stopping. A group's own limit is a trap, and needs a
/// free thread.
final class LastResort {
    private let sources: [any DispatchSourceSignal]

    /// - Parameter limit: from the signal to stop on.
    init(limit: Duration, logger: Logger) {
        let queue = DispatchQueue(label: "martlet.last-resort", qos: .userInitiated)
        sources = [SIGTERM, SIGINT].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                queue.asyncAfter(deadline: .now() + limit / .seconds(1)) {
                    logger.critical(
                        "stopping took too long: ended", metadata: ["after": "\(limit)"])
                    _exit(1)
                }
            }
            source.resume()
            return source
        }
    }

    func cancel() { for source in sources { source.cancel() } }
}

/// Stores what was used, and takes over keys that other servers of the same file have made.
struct TenantKeeper: Service {
    let tenancy: Tenancy
    let logger: Logger

    func run() async throws {
        var isFailing = false
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            isFailing = keep(wasFailing: isFailing)
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .milliseconds(400)) }
        }
        // What ends during the drain is stored by whoever ends last.
    }

    /// - Returns: whether it could not be done.
    @discardableResult
    func keep(wasFailing: Bool = false) -> Bool {
        do {
            try tenancy.ledger.flush()
            try tenancy.keys?.refresh()
            return false
        } catch {
            if !wasFailing {
                logger.error(
                    "usage is not stored; it is kept and tried again",
                    metadata: ["error": .string("\(error)")])
            }
            return true
        }
    }
}

/// Reads the key file again at every SIGHUP, and goes on in a new audit log. A file that cannot be used leaves the keys as
/// they are.
struct KeyReloader: Service {
    let tenancy: Tenancy
    let file: String?
    let logger: Logger

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        for await _ in signals.cancelOnGracefulShutdown() {
            do {
                try tenancy.audit?.reopen()
            } catch {
                logger.error("SIGHUP", metadata: ["error": .string("\(error)")])
            }
            guard let keys = tenancy.keys, let file else {
                logger.info("SIGHUP: there is no key file to read again")
                continue
            }
            do {
                try keys.replace(file: try TenantOptions.keys(file))
                logger.info("SIGHUP: keys read again", metadata: ["file": .string(file)])
            } catch {
                logger.error(
                    "SIGHUP: the keys stay as they were", metadata: ["error": .string("\(error)")])
            }
        }
    }
}
