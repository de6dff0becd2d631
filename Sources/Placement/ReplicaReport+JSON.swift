package import JSONTree

extension ReplicaReport {
    package var json: JSON {
        [
            "boot": .string(boot), "version": .integer(version), "release": .string(release),
            "base": .array(base.map { .string($0) }), "draining": .bool(isDraining),
            "slots": .integer(slotCount), "running": .integer(runningCount),
            "waiting": .integer(waitingCount), "waiting_tokens": .integer(waitingTokenCount),
            "kv_use": .number(cacheUse), "prefill_rate": .number(prefillRate),
            "decode_rate": .number(decodeRate), "finished": .integer(finishedCount),
            "finished_seconds": .number(finishedSeconds),
            "host": ["bytes": .integer(hostByteCount), "budget": .integer(hostBudget)],
            "loads": ["disk": diskLoads.json, "source": sourceLoads.json],
            "whole": .bool(isWhole), "adapters": .array(adapters.map(\.json)),
            "removed": .array(removed.map { .string($0) }),
        ]
    }

    /// Reads a replica's message. Members that are not known are from a newer replica and say nothing here.
    ///
    /// - Throws: `ReplicaReportError`.
    package init(_ json: JSON) throws(ReplicaReportError) {
        var reader = ReportReader(json)
        boot = try reader.text("boot", limit: 100)
        version = try reader.count("version")
        release = try reader.text("release", limit: 100)
        base = try reader.texts("base", limit: 100)
        guard let draining = json["draining"]?.boolValue, let whole = json["whole"]?.boolValue
        else { throw ReplicaReportError("draining or whole") }
        isDraining = draining
        isWhole = whole
        slotCount = try reader.count("slots")
        runningCount = try reader.count("running")
        waitingCount = try reader.count("waiting")
        waitingTokenCount = try reader.count("waiting_tokens")
        cacheUse = try reader.number("kv_use")
        prefillRate = try reader.number("prefill_rate")
        decodeRate = try reader.number("decode_rate")
        finishedCount = try reader.count("finished")
        finishedSeconds = try reader.number("finished_seconds")
        reader = ReportReader(json["host"] ?? .null)
        hostByteCount = try reader.count("bytes")
        hostBudget = try reader.count("budget")
        diskLoads = try LoadCost(json["loads"]?["disk"] ?? .null)
        sourceLoads = try LoadCost(json["loads"]?["source"] ?? .null)
        guard let entries = json["adapters"]?.arrayValue, entries.count <= Limits.adapters else {
            throw ReplicaReportError("adapters")
        }
        for entry in entries { adapters.append(try Adapter(entry)) }
        removed = try ReportReader(json).texts("removed", limit: Limits.adapters)
    }

    /// Of one message.
    enum Limits {
        static let adapters = 200_000
        static let names = 1000
        static let textByteCount = 512
    }
}

extension ReplicaReport.LoadCost {
    fileprivate var json: JSON {
        [
            "count": .integer(count), "seconds": .number(seconds), "bytes": .integer(byteCount),
        ]
    }

    fileprivate init(_ json: JSON) throws(ReplicaReportError) {
        let reader = ReportReader(json)
        count = try reader.count("count")
        seconds = try reader.number("seconds")
        byteCount = try reader.count("bytes")
    }
}

extension ReplicaReport.Adapter {
    fileprivate var json: JSON {
        let hits = JSON.Object(
            AdapterTier.allCases.map { ($0.name, .integer(self.hits[Int($0.rawValue)])) })
        return [
            "digest": .string(digest), "names": .array(names.map { .string($0) }),
            "tier": .string(tier.name), "bytes": .integer(byteCount), "rank": .integer(rank),
            "requests": .integer(requestCount), "tokens": .integer(tokenCount),
            "hits": .object(hits), "load_seconds": .number(loadSeconds),
            "busy_seconds": .number(busySeconds),
        ]
    }

    fileprivate init(_ json: JSON) throws(ReplicaReportError) {
        let reader = ReportReader(json)
        digest = try reader.text("digest", limit: 64)
        names = try reader.texts("names", limit: ReplicaReport.Limits.names)
        guard let tier = AdapterTier(name: try reader.text("tier", limit: 16)) else {
            throw ReplicaReportError("tier")
        }
        self.tier = tier
        byteCount = try reader.count("bytes", limit: ReportReader.largestAdapter)
        rank = try reader.count("rank")
        requestCount = try reader.count("requests")
        tokenCount = try reader.count("tokens")
        let hitReader = ReportReader(json["hits"] ?? .null)
        for tier in AdapterTier.allCases {
            hits[Int(tier.rawValue)] = try hitReader.count(tier.name)
        }
        loadSeconds = try reader.number("load_seconds")
        busySeconds = try reader.number("busy_seconds")
    }
}

/// A message that no replica of this kind writes.
package struct ReplicaReportError: Error, CustomStringConvertible {
    package let member: String

    init(_ member: String) { self.member = member }

    package var description: String {
        "a replica's state has no \(member), or one that cannot be right"
    }
}

private struct ReportReader {
    /// Far above anything real; sums of thousands of them still fit 64 bits, and sums of as many adapters
    /// as there may be.
    static let largestCount = 1 << 48
    static let largestAdapter = 1 << 40
    private static let largestNumber = 1e15

    let json: JSON

    init(_ json: JSON) { self.json = json }

    func text(_ name: String, limit: Int) throws(ReplicaReportError) -> String {
        guard let text = json[name]?.stringValue, text.utf8.count <= limit else {
            throw ReplicaReportError(name)
        }
        return text
    }

    func texts(_ name: String, limit: Int) throws(ReplicaReportError) -> [String] {
        guard let array = json[name]?.arrayValue, array.count <= limit else {
            throw ReplicaReportError(name)
        }
        var texts: [String] = []
        for value in array {
            guard let text = value.stringValue,
                text.utf8.count <= ReplicaReport.Limits.textByteCount
            else { throw ReplicaReportError(name) }
            texts.append(text)
        }
        return texts
    }

    func count(
        _ name: String, limit: Int = ReportReader.largestCount
    ) throws(ReplicaReportError) -> Int {
        guard let count = json[name]?.integerValue, (0...limit).contains(count) else {
            throw ReplicaReportError(name)
        }
        return count
    }

    func number(_ name: String) throws(ReplicaReportError) -> Double {
        guard let number = json[name]?.doubleValue,
            (0...ReportReader.largestNumber).contains(number)
        else { throw ReplicaReportError(name) }
        return number
    }
}
