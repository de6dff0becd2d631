import Engine
import Testing

/// How long a request will wait, against simulated engines where that is known.
struct QueueForecastTests {
    private static let flow = Flow(owner: "a")

    private static func status(running: Int, waiting: Int) -> EngineStatus {
        var status = EngineStatus()
        status.runningCount = running
        status.waitingCount = waiting
        return status
    }

    /// Seats that requests have for ten seconds each, a line before them.
    @Test func aLineBeforeSeats() {
        var forecast = QueueForecast(seats: 4)
        var id: UInt64 = 0
        func next() -> RequestID {
            id += 1
            return RequestID(id)
        }
        // Until a request has ended, nobody knows how long they stay.
        for round in 0..<40 {
            let request = next()
            forecast.submit(request, Self.flow, promptCount: 10, at: Double(round))
            forecast.admit(request, at: Double(round))
            forecast.answer(request, foundCount: 0)
            forecast.end(request, at: Double(round) + 10, isWhole: true)
        }
        let idle = forecast.wait(
            for: Self.flow, promptCount: 100, rate: 50, Self.status(running: 0, waiting: 0))
        #expect(abs(idle - 2) < 0.01)
        for _ in 0..<4 {
            let request = next()
            forecast.submit(request, Self.flow, promptCount: 10, at: 99)
            forecast.admit(request, at: 100)
            #expect(forecast.queued(request) == 1)
            forecast.answer(request, foundCount: 0)
        }
        // A seat becomes free every 2.5 seconds.
        for place in 1...8 {
            let wait = forecast.wait(
                for: Self.flow, promptCount: 10, rate: 1000,
                Self.status(running: 4, waiting: place - 1))
            let prompts = Double(10 * place) / 1000
            #expect(abs(wait - 2.5 * Double(place) - prompts) < 0.01, "\(place): \(wait)")
            forecast.submit(next(), Self.flow, promptCount: 10, at: 101)
        }
        // Another owner gets its part of the seats whatever line there is.
        let other = forecast.wait(
            for: Flow(owner: "b"), promptCount: 10, rate: 1000, Self.status(running: 4, waiting: 8))
        #expect(other < 0.1)
    }

    /// Of others' prompts only as much is ahead as fair shares let go first.
    @Test(arguments: [(1.0, 200.0), (3, 400), (0.5, 150)])
    func othersPromptsAreAheadByTheirShare(weight: Double, tokens: Double) {
        var forecast = QueueForecast(seats: 64)
        for index in 0..<10 {
            forecast.submit(
                RequestID(UInt64(index)), Flow(owner: "b", weight: weight), promptCount: 1000,
                at: 0)
        }
        let wait = forecast.wait(
            for: Self.flow, promptCount: 100, rate: 1, Self.status(running: 10, waiting: 0))
        #expect(abs(wait - tokens) < 0.01)
    }

    /// Whatever ends in whatever order, nothing is left behind.
    @Test func everyEndIsTakenBack() {
        var forecast = QueueForecast(seats: 2)
        for index in 0..<40 {
            let id = RequestID(UInt64(index))
            forecast.submit(id, Self.flow, promptCount: 10 + index, at: 0)
            if index % 2 == 0 { forecast.admit(id, at: 1) }
            if index % 4 == 0 { forecast.answer(id, foundCount: 0) }
            if index % 8 == 0 { forecast.admit(id, at: 2) }
        }
        for index in (0..<40).reversed() {
            forecast.end(RequestID(UInt64(index)), at: 3, isWhole: false)
            forecast.end(RequestID(UInt64(index)), at: 3, isWhole: false)
        }
        let wait = forecast.wait(
            for: Self.flow, promptCount: 7, rate: 1, Self.status(running: 0, waiting: 0))
        #expect(abs(wait - 7) < 0.01)
    }

    @Test func whatIsInTheCacheIsNotWaitedFor() {
        var forecast = QueueForecast(seats: 2)
        for index in 0..<200 {
            let id = RequestID(UInt64(index))
            forecast.submit(id, Self.flow, promptCount: 100, at: 0)
            forecast.admit(id, at: 1)
            forecast.answer(id, foundCount: 90)
            forecast.end(id, at: 1, isWhole: true)
        }
        let wait = forecast.wait(
            for: Self.flow, promptCount: 100, rate: 10, Self.status(running: 0, waiting: 0))
        #expect(abs(wait - 1) < 0.01)
    }
}
