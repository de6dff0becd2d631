import AdapterSources
import AdapterStore

/// What a call must come to. Who is in RAM and which packs are on the disk is looked up, not foretold;
/// what follows from it for names, answers and refusals is.
extension LibrarySimulation {
    func foresee(_ call: LibraryCall) -> Forecast {
        var forecast = Forecast(after: model)
        do throws(Refusal) {
            try foresee(call, &forecast)
        } catch {
            forecast.refusal = error
        }
        return forecast
    }

    private func foresee(_ call: LibraryCall, _ forecast: inout Forecast) throws(Refusal) {
        switch call {
        case .request(let name), .warm(let name): try foreseeLease(name, &forecast)
        case .verify(let name): try foreseeVerify(name, &forecast)
        case .demote(let name):
            let content = try known(name).content
            forecast.answer = content.map { !isInMemory($0) || !isHeld($0) } ?? true
        case .register(let name, let source):
            guard model.names[name] == nil else { throw Refusal.library(.taken) }
            forecast.after.names[name] = LibraryModel.Name(source: sources[source].text)
        case .put(let name, let source, let replaces, let expected):
            let previous = model.names[name]
            if previous != nil, !replaces { throw Refusal.library(.taken) }
            if let expected, previous?.content != expected { throw Refusal.library(.conflict) }
            let content = try read(sources[source].text)
            forecast.after.names[name] = LibraryModel.Name(
                source: sources[source].text, content: content,
                isPinned: previous?.isPinned ?? false)
            forecast.after.known.insert(content)
        case .point(let name, let content, let expected):
            try foreseePoint(name, content, expected, &forecast)
        case .pin(let name, let isPinned):
            _ = try known(name)
            forecast.after.names[name]?.isPinned = isPinned
        case .remove(let name):
            let content = try known(name).content
            forecast.after.names[name] = nil
            if let content, !forecast.after.isNamed(content) {
                forecast.after.known.remove(content)
            }
        }
    }

    private func known(_ name: String) throws(Refusal) -> LibraryModel.Name {
        guard let known = model.names[name] else { throw Refusal.library(.notFound) }
        return known
    }

    private func foreseeLease(
        _ name: String, _ forecast: inout Forecast
    ) throws(Refusal) {
        let known = try known(name)
        if let content = known.content {
            // Room is made before anything is read.
            forecast.loads = content
            if !isReady(content) { try readAgain(content, known.source) }
            forecast.content = content
            return
        }
        if known.isFaulty { throw Refusal.library(.faulty) }
        do throws(Refusal) {
            let content = try read(known.source)
            forecast.after.names[name]?.content = content
            forecast.after.known.insert(content)
            forecast.loads = content
            forecast.content = content
        } catch {
            forecast.after.names[name]?.isFaulty = error == .file
            throw error
        }
    }

    private func foreseeVerify(
        _ name: String, _ forecast: inout Forecast
    ) throws(Refusal) {
        let known = try known(name)
        forecast.answer = true
        guard let content = known.content, let isWhole = packs[content] else {
            return try foreseeLease(name, &forecast)
        }
        guard !isWhole else { return }
        try readAgain(content, known.source)
        forecast.answer = false
    }

    private func foreseePoint(
        _ name: String, _ content: Int, _ expected: Int?, _ forecast: inout Forecast
    ) throws(Refusal) {
        guard model.known.contains(content), packs[content] != nil || isInMemory(content) else {
            throw Refusal.library(.notFound)
        }
        let previous = model.names[name]
        if let expected, previous?.content != expected { throw Refusal.library(.conflict) }
        forecast.after.names[name] = LibraryModel.Name(
            source: previous?.source ?? fixture.packPath(adapters[content]), content: content,
            isPinned: previous?.isPinned ?? false)
    }

    // MARK: Sources

    /// What a source gives now. Names that were made by their digest have none.
    private func read(_ text: String) throws(Refusal) -> Int {
        guard let source = sources.first(where: { $0.text == text }), !source.isFailing else {
            throw Refusal.source
        }
        switch source.holding {
        case .adapter(let content): return content
        case .broken: throw Refusal.file
        case .nothing: throw Refusal.source
        }
    }

    private func readAgain(_ content: Int, _ text: String) throws(Refusal) {
        guard try read(text) == content else { throw Refusal.library(.conflict) }
    }

    // MARK: RAM and disk

    func isInMemory(_ content: Int) -> Bool { sightings[content]?.adapter != nil }

    /// Whether no source is needed to bring it into RAM.
    func isReady(_ content: Int) -> Bool { isInMemory(content) || packs[content] == true }

    func isLeased(_ content: Int) -> Bool { running.values.contains { $0.content == content } }

    /// Whether it stays in RAM whoever needs the room.
    func isHeld(_ content: Int) -> Bool {
        isInMemory(content) && (isLeased(content) || model.isPinned(content))
    }

    var heldByteCount: Int {
        adapters.reduce(0) { isHeld($1.number) ? $0 + $1.byteCount : $0 }
    }

    func fits(_ content: Int) -> Bool {
        isInMemory(content)
            || heldByteCount + adapters[content].byteCount <= fixture.hostBudget
    }
}
