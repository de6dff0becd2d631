/// What the pick and the plan go by. The defaults are for machines that serve adapters of megabytes in
/// seconds; docs/operating/cluster.md says what each does.
package struct PlacementRules: Sendable, Equatable {
    /// Seconds that a replica which is neither planned nor has the adapter must save.
    package var spill = 0.25
    /// The share of a replica's time that one adapter's copy is planned for.
    package var targetUse = 0.7
    /// The share of a replica's memory for adapters that the plan fills.
    package var fill = 0.9
    /// Over how many seconds heat is averaged.
    package var heatSeconds = 6.0
    /// How long heat stays low before an adapter has fewer copies.
    package var cooldown = 60.0
    /// Seconds that a new replica gets to bring its adapters, while others can answer.
    package var warmUp = 10.0
    /// Seconds that a gateway needs to learn of a replica, before anything may be sent there.
    package var settle = 0.0
    /// Seconds of silence after which a replica is avoided, and after which it is taken for gone.
    package var doubtAfter = 2.0
    package var loseAfter = 10.0
    /// Until a replica has measured its own.
    package var diskLoad = LoadModel(seconds: 0.002, secondsPerByte: 1e-9)
    package var sourceLoad = LoadModel(seconds: 0.5, secondsPerByte: 2e-8)
    package var requestSeconds = 1.0
    /// How many endpoints an answer has, the best first.
    package var endpoints = 3

    package init() {}

    /// What bringing an adapter into RAM takes, about.
    package struct LoadModel: Sendable, Equatable {
        package var seconds: Double
        package var secondsPerByte: Double

        package init(seconds: Double, secondsPerByte: Double) {
            self.seconds = seconds
            self.secondsPerByte = secondsPerByte
        }

        /// What was measured counts as much as four loads of this.
        func seconds(for byteCount: Int, measured: ReplicaReport.LoadCost) -> Double {
            let expected = seconds + secondsPerByte * Double(byteCount)
            guard measured.count > 0 else { return expected }
            let prior = 4.0
            let weight = Double(measured.count) / (Double(measured.count) + prior)
            let perByte = measured.seconds / Double(max(measured.byteCount, 1))
            let seen =
                measured.byteCount > 0
                ? perByte * Double(byteCount) : measured.seconds / Double(measured.count)
            return weight * seen + (1 - weight) * expected
        }
    }
}
