internal import Foundation
internal import Logging
internal import Placement
internal import ServiceLifecycle

/// Finds the replicas and follows each of them, tells Envoy about them, and has them bring what the
/// plan wants.
struct ReplicaKeeper {
    let core: RouterCore
    let discovery: Discovery
    let file: EndpointFile?
    let client: ReplicaClient
    let logger: Logger

    private static let discoveryPace = Duration.milliseconds(500)
    private static let gatewayPace = Duration.milliseconds(50)
    private static let planPace = Duration.seconds(2)
    /// Loads that one replica is asked for at a time.
    private static let warmsPerReplica = 2

    func run() async {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await discover() }
                group.addTask { await plan() }
                if let file { group.addTask { await tellGateway(file) } }
                group.addTask {
                    // Whoever waits too long is told.
                    while (try? await Task.sleep(for: .milliseconds(100))) != nil {
                        core.release()
                    }
                }
                await group.waitForAll()
            }
        }
    }

    // MARK: Who is there

    private func discover() async {
        await withDiscardingTaskGroup { group in
            var followers: [String: Task<Void, Never>] = [:]
            var failure: String?
            repeat {
                do {
                    let found = try await discovery.endpoints()
                    failure = nil
                    core.setReplicas(found)
                    for name in followers.keys where !found.contains(name) {
                        logger.info("replica gone", metadata: ["replica": .string(name)])
                        followers.removeValue(forKey: name)?.cancel()
                    }
                    for name in found where followers[name] == nil {
                        logger.info("replica found", metadata: ["replica": .string(name)])
                        let follower = Task { await follow(name) }
                        followers[name] = follower
                        group.addTask {
                            await withTaskCancellationHandler {
                                await follower.value
                            } onCancel: {
                                follower.cancel()
                            }
                        }
                    }
                } catch {
                    // The replicas that are known go on; said once.
                    if failure != "\(error)" {
                        logger.error(
                            "discovery failed: the replicas stay as they were",
                            metadata: ["error": .string("\(error)")])
                    }
                    failure = "\(error)"
                }
            } while (try? await Task.sleep(for: ReplicaKeeper.discoveryPace)) != nil
        }
    }

    /// Writes the gateway's file whenever it is to say something else.
    private func tellGateway(_ file: EndpointFile) async {
        var written: [String]?
        var version = 0
        repeat {
            let endpoints = core.endpoints
            guard endpoints != written else { continue }
            version += 1
            do {
                try file.write(endpoints, version: version)
                written = endpoints
            } catch {
                logger.error(
                    "the endpoint file cannot be written",
                    metadata: ["error": .string("\(error)")])
                try? await Task.sleep(for: .seconds(5))
            }
        } while (try? await Task.sleep(for: ReplicaKeeper.gatewayPace)) != nil
    }

    /// Follows a replica as long as it is among those that were found.
    private func follow(_ name: String) async {
        var isFirst = true
        while !Task.isCancelled {
            var hasSpoken = false
            var isStrange = false
            do {
                try await client.follow(name) { report in
                    if !hasSpoken {
                        logger.info(
                            "replica answers",
                            metadata: [
                                "replica": .string(name), "boot": .string(report.boot),
                                "base": .string(report.base.first ?? ""),
                            ])
                    }
                    hasSpoken = true
                    if !core.hear(report, from: name), !isStrange {
                        isStrange = true
                        logger.error(
                            "replica serves another base: it gets no requests",
                            metadata: [
                                "replica": .string(name),
                                "base": .string(report.base.joined(separator: ",")),
                            ])
                    }
                }
                core.lose(name)
                if hasSpoken {
                    logger.info("replica ended its stream", metadata: ["replica": .string(name)])
                }
            } catch {
                core.lose(name)
                if hasSpoken || isFirst, !Task.isCancelled {
                    logger.warning(
                        "replica does not answer",
                        metadata: ["replica": .string(name), "error": .string("\(error)")])
                }
            }
            isFirst = false
            // Not all routers at once.
            try? await Task.sleep(for: .milliseconds(Int.random(in: 100...400)))
        }
    }

    // MARK: What they should have

    private func plan() async {
        await withDiscardingTaskGroup { group in
            let warms = Warms(limit: ReplicaKeeper.warmsPerReplica)
            while (try? await Task.sleep(for: ReplicaKeeper.planPace)) != nil {
                warms.want(core.replan())
                for replica in warms.replicas {
                    while let adapter = warms.next(for: replica) {
                        group.addTask { await warm(adapter, on: replica, warms) }
                    }
                }
            }
        }
    }

    /// Has a replica bring an adapter, and then what it is to bring next.
    private func warm(_ first: String, on replica: String, _ warms: Warms) async {
        var next: String? = first
        while let adapter = next, !Task.isCancelled {
            var failed = false
            do {
                try await client.warm(adapter, on: replica)
            } catch {
                failed = true
                logger.info(
                    "adapter not brought ahead",
                    metadata: [
                        "adapter": .string(adapter), "replica": .string(replica),
                        "error": .string("\(error)"),
                    ])
            }
            warms.end(adapter, on: replica, failed: failed)
            next = warms.next(for: replica)
        }
    }
}
