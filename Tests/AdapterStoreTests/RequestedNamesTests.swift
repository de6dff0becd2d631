import AdapterSources
import AdapterStore
import Foundation
import TestSupport
import Testing

/// Adapters that requests name by their sources, and what becomes of those names.
struct RequestedNamesTests {
    private let fixture: LibraryFixture
    private let shelf = RemoteShelf()

    init() throws {
        fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        for number in 0..<4 { shelf.put(fixture.adapters[0].files, in: "r\(number)") }
    }

    private func serve(
        _ body: @escaping (_ place: @escaping @Sendable (Int) -> String) async throws -> Void
    ) async throws {
        let shelf = shelf
        let script: ScriptedServer.Script = { shelf.reply(to: $0) }
        try await ScriptedServer.run(script) { server in
            let start = "http://files.test:\(server.port)/"
            fixture.justInTime = [start]
            try await body { "\(start)r\($0)/" }
        }
    }

    @Test func aClientHasSoManyNamesAndTheIdleOneGoes() async throws {
        fixture.namesPerClient = 2
        try await serve { place in
            let library = try fixture.open()
            try await library.put(
                name: "operators", source: try AdapterSource(place(3)), replaces: false)
            func ask(_ number: Int, as client: String) async throws {
                try await AdapterLibrary.$client.withValue(client) {
                    _ = try await library.lease(place(number))
                }
            }
            for number in 0..<2 { try await ask(number, as: "a") }
            try await ask(2, as: "b")
            #expect(library.count == 4)
            try await ask(3, as: "a")
            // Another client's name and an operator's stay.
            #expect(library.names == [place(1), place(2), place(3), "operators"])
        }
    }

    @Test func idleNamesAreTakenBackAlsoAfterARestart() async throws {
        try await serve { place in
            do {
                let library = try fixture.open()
                try await library.put(
                    name: "operators", source: try AdapterSource(place(3)), replaces: false)
                _ = try await library.lease(place(0))
                _ = try await library.lease(place(1))
                try await library.pin(name: place(1), true)
            }
            fixture.close()
            var again: AdapterLibrary?
            try await until("the folder is free") {
                again = try? fixture.open()
                return again != nil
            }
            let library = try #require(again)
            #expect(library.names == [place(0), place(1), "operators"])
            let now = Date().timeIntervalSince1970
            try await library.takeBackIdleNames(now: now + 86_400)
            #expect(library.count == 3)
            // A pinned name stays, and so does an operator's.
            try await library.takeBackIdleNames(now: now + 8 * 86_400)
            #expect(library.names == [place(1), "operators"])
        }
    }

    /// Whoever asked has gone: nobody else's place is taken by what a slow server sends them.
    @Test func whatNobodyWaitsForIsDroppedAndBegunAgain() async throws {
        let gate = Gate()
        shelf.setFault(.slow(gate), of: "r0")
        defer { gate.open() }
        try await serve { place in
            let library = try fixture.open()
            let first = Task { try await library.lease(place(0)) }
            try await until("the weights are asked for") { shelf.slowCount == 1 }
            let second = Task { try await library.lease(place(0)) }
            first.cancel()
            await #expect(throws: CancellationError.self) { _ = try await first.value }
            #expect(try fixture.files(in: "staging").count == 1)
            second.cancel()
            await #expect(throws: CancellationError.self) { _ = try await second.value }
            try await until("its files are gone") { try fixture.files(in: "staging").isEmpty }
            #expect(library.names == [])
            shelf.setFault(.none, of: "r0")
            gate.open()
            _ = try await library.lease(place(0))
            #expect(library.names == [place(0)])
        }
    }

    /// At the end of a drain, who still waits for an adapter is told so.
    @Test func whoWaitsWhenTheServerStopsIsTold() async throws {
        let gate = Gate()
        shelf.setFault(.slow(gate), of: "r0")
        defer { gate.open() }
        try await serve { place in
            let library = try fixture.open()
            let waiting = Task { try await library.lease(place(0)) }
            try await until("the weights are asked for") { shelf.slowCount == 1 }
            library.stop()
            let error = await #expect(throws: LibraryError.self) { _ = try await waiting.value }
            #expect(error?.code == .stopping)
            #expect(try fixture.files(in: "staging").isEmpty)
        }
    }
}
