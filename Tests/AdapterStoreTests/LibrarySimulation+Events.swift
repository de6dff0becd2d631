import AdapterStore
import Adapters
import Catalog
import TestSupport

/// What happens next.
extension LibrarySimulation {
    func happen() async throws {
        switch roll(100) {
        case 0..<26: try await requestOrStep()
        case 26..<38: try steps()
        case 38..<41:
            note("the engine runs empty")
            try drain()
        case 41..<50: try await call(anyPut())
        case 50..<52: try await call(.register(anyName(), source: roll(sources.count)))
        case 52..<56: try await call(.remove(anyName()))
        case 56..<61: try await call(anyPoint())
        case 61..<64: try await call(.warm(anyName()))
        case 64..<67: try await call(.demote(anyName()))
        case 67..<71: try await call(anyPin())
        case 71..<75: if let call = anyVerify() { try await self.call(call) }
        case 75..<79: try damageAny()
        case 79..<82: try changeSource()
        case 82..<85: changeServer()
        case 85..<89: try await fillDisk()
        case 89..<91:
            note("kill")
            try await restart([model])
        case 91..<95: try await call(anyCall(), dyingBy: anyDeath())
        case 95..<98: try await crowd()
        default: try await slowSource()
        }
    }

    private func anyName() -> String { Self.names[roll(Self.names.count)] }

    private func requestOrStep() async throws {
        if running.count < Self.maximumRunning {
            try await call(.request(anyName()))
        } else {
            try steps()
        }
    }

    private func steps() throws {
        let count = 1 + roll(4)
        note("\(count) steps")
        for _ in 0..<count { try step() }
    }

    // MARK: Calls

    /// A change by somebody who has looked before, or who believes to have.
    private func anyExpectation(_ name: String) -> Int? {
        switch roll(8) {
        case 0: roll(adapters.count)
        case 1, 2: model.names[name]?.content
        default: nil
        }
    }

    private func anyPut() -> LibraryCall {
        let name = anyName()
        return .put(
            name, source: roll(sources.count), replaces: roll(6) > 0,
            expected: anyExpectation(name))
    }

    private func anyPoint() -> LibraryCall {
        let name = anyName()
        let content = pick(model.known.sorted()) ?? 0
        return .point(name, content: content, expected: anyExpectation(name))
    }

    /// Pins what was read, and no more than half of the memory for adapters.
    private func anyPin() -> LibraryCall {
        let name = anyName()
        guard roll(2) == 0, let content = model.names[name]?.content else {
            return .pin(name, false)
        }
        let pinned = adapters.filter { $0.number == content || model.isPinned($0.number) }
        let byteCount = pinned.reduce(0) { $0 + $1.byteCount }
        return .pin(name, byteCount <= fixture.hostBudget / 2)
    }

    private func anyVerify() -> LibraryCall? {
        let read = Self.names.filter { model.names[$0]?.content != nil }
        return pick(read).map { .verify($0) }
    }

    private func anyCall() -> LibraryCall {
        switch roll(8) {
        case 0: .request(anyName())
        case 1: anyPoint()
        case 2: .remove(anyName())
        case 3: anyPin()
        case 4: .register(anyName(), source: roll(sources.count))
        case 5: anyVerify() ?? .warm(anyName())
        default: anyPut()
        }
    }

    private func anyDeath() -> Faults.Plan {
        switch roll(4) {
        case 0: .diesInPack(at: roll(8_000))
        case 1: .diesAfterPack
        case 2: .dies(.beforeCommit)
        default: .dies(.afterCommit)
        }
    }

    // MARK: Faults

    private func damageAny() throws {
        let content = roll(adapters.count)
        let (position, flip) = (roll(1 << 20), UInt8(1 + roll(255)))
        guard packs[content] != nil else { return }
        note("pack \(content) is damaged")
        try fixture.damage(adapters[content], at: position, by: flip)
        damaged.insert(content)
        everDamaged.insert(content)
    }

    private func changeSource() throws {
        let number = roll(sources.count)
        let holding: Source.Holding =
            switch roll(8) {
            case 0: .broken
            case 1: .nothing
            case 2, 3, 4: .adapter(number)
            default: .adapter(roll(adapters.count))
            }
        note("\(sources[number].name) has \(holding)")
        try setSource(number, holding)
    }

    private func changeServer() {
        let number = Self.folderCount + roll(Self.remoteCount)
        let change: (fault: RemoteShelf.Fault, isFailing: Bool) =
            switch roll(8) {
            case 0: (.failing, true)
            case 1: (.cutOff, true)
            case 2: (.changing, true)
            case 3, 4: (.busyOnce, false)
            default: (.none, false)
            }
        note("\(sources[number].name) is \(change.fault)")
        shelf.setFault(change.fault, of: sources[number].name)
        sources[number].isFailing = change.isFailing
    }

    private func fillDisk() async throws {
        if roll(2) == 0 {
            let call: LibraryCall = roll(2) == 0 ? .request(anyName()) : anyPut()
            note("packs do not fit")
            fixture.faults.plan(.packsDoNotFit(beyond: roll(8_000)))
            try await self.call(call)
        } else {
            let calls: [LibraryCall] = [
                anyPut(), anyPoint(), anyPin(), .remove(anyName()),
                .register(anyName(), source: roll(sources.count)),
            ]
            fixture.faults.plan(.catalogDoesNotFit)
            try await call(calls[roll(calls.count)], isCatalogFull: true)
        }
        fixture.faults.plan(.none)
    }

    // MARK: Together

    /// Requests at the same time, of the same adapters too, for which there is room: each is brought
    /// into RAM once.
    private func crowd() async throws {
        var names: [(name: String, content: Int)] = []
        var byteCount = heldByteCount
        for _ in 0..<max(0, min(5, Self.maximumRunning - running.count)) {
            let name = anyName()
            guard let content = model.names[name]?.content, isReady(content) else { continue }
            if !isHeld(content), !names.contains(where: { $0.content == content }) {
                guard byteCount + adapters[content].byteCount <= fixture.hostBudget else {
                    continue
                }
                byteCount += adapters[content].byteCount
            }
            names.append((name, content))
        }
        note("requests for \(names.map(\.name)) together")
        let absent = Set(names.map(\.content).filter { !isInMemory($0) })
        let before = try loadCounts()
        var asked: [Asked<AdapterLease>] = []
        for (name, _) in names { asked.append(try ask { try await $0.lease(name) }) }
        for (one, (_, content)) in zip(asked, names) {
            try submit(try await answer(to: one), expecting: content)
        }
        let after = try loadCounts()
        for (_, content) in names {
            let count = after[content, default: 0] - before[content, default: 0]
            // What was in RAM may have gone for another of them, and come back.
            guard count <= 1, count == 1 || !absent.contains(content) else {
                throw Flaw("adapter \(content) was loaded \(count) times")
            }
        }
    }

    private func loadCounts() throws -> [Int: Int] {
        var counts: [Int: Int] = [:]
        for entry in try library().entries {
            guard let content = number(of: entry.digest) else { continue }
            counts[content] = entry.record?.loads ?? 0
        }
        return counts
    }

    /// A source that takes its time holds up nobody else.
    private func slowSource() async throws {
        let remotes = sources.indices.filter { number in
            guard case .adapter = sources[number].holding else { return false }
            return sources[number].isRemote && !sources[number].isFailing
        }
        let name = anyName()
        guard let number = pick(remotes) else { return }
        note("\(name) is put from \(sources[number].name), which is slow")
        let gate = Gate()
        shelf.setFault(.slow(gate), of: sources[number].name)
        defer { gate.open() }
        let forecast = foresee(.put(name, source: number, replaces: true, expected: nil))
        let before = shelf.slowCount
        let source = sources[number].source
        let asked = try ask { try await $0.put(name: name, source: source, replaces: true) }
        try await until("the weights are asked for") {
            asked.isDone.isSet || shelf.slowCount > before
        }
        let others = Self.names.filter { other in
            guard let content = model.names[other]?.content else { return false }
            return isReady(content) && fits(content)
        }
        if running.count < Self.maximumRunning, let other = pick(others) {
            try await call(.request(other))
            try drain()
        }
        guard !asked.isDone.isSet else { throw Flaw("it did not wait for its weights") }
        gate.open()
        _ = try await answer(to: asked)
        shelf.setFault(.none, of: sources[number].name)
        model = forecast.after
    }
}
