/// A product's panels in pieces for a team: a few panels each, and as many for one member as for another.
///
/// Which panels are a member's follows from their number and the team's alone, so that the member that
/// packed them, and has their memory near, is the one that multiplies them in every step.
package struct PanelPieces: Sendable {
    /// A few for each member, so that one who is late can be helped, unless there are not that many
    /// units.
    package let count: Int
    private let panelCount: Int
    private let memberCount: Int
    /// Pieces end where a unit does: a tile of the kernels or, where tiles cannot be parted evenly, a
    /// panel.
    private let panelsPerUnit: Int
    private let unitCount: Int

    private static let panelsPerTile = 2

    /// Outputs computed before the adapters' share meets them: few enough to stay in the cache.
    private static let outputsAtOnce = 64 << 10

    /// Panels of one piece of the work on some rows.
    private static func panelsAtOnce(rowCount: Int) -> Int {
        max(4, outputsAtOnce / (Lanes.count * max(rowCount, 1)) / 4 * 4)
    }

    /// Outputs of the largest piece.
    package static func largestOutputCount(rowCount: Int) -> Int {
        max(outputsAtOnce, 4 * Lanes.count * rowCount)
    }

    /// - Parameter outputs: of how many matrices a piece holds the outputs.
    package init(panelCount: Int, rowCount: Int, memberCount: Int, outputs: Int = 1) {
        func largestShare(panelsPerUnit: Int) -> Int {
            min(
                panelCount,
                panelCount.dividedUp(by: panelsPerUnit).dividedUp(by: memberCount) * panelsPerUnit)
        }
        // A panel alone takes a thread longer than its half of a tile, so tiles may leave somebody
        // a tenth more than its part.
        let ofTiles = largestShare(panelsPerUnit: PanelPieces.panelsPerTile)
        let partsTiles =
            10 * ofTiles * memberCount > 11 * panelCount
            && largestShare(panelsPerUnit: 1) < ofTiles
        self.panelCount = panelCount
        self.memberCount = memberCount
        panelsPerUnit = partsTiles ? 1 : PanelPieces.panelsPerTile
        unitCount = panelCount.dividedUp(by: panelsPerUnit)
        let largest = PanelPieces.panelsAtOnce(rowCount: rowCount) / outputs / panelsPerUnit
        let least = max(2 * memberCount, unitCount.dividedUp(by: largest))
        count = min(unitCount, least.roundedUp(toMultipleOf: memberCount))
    }

    package subscript(piece: Int) -> Range<Int> {
        panel(piece, of: count)..<panel(piece + 1, of: count)
    }

    /// Panels of all pieces of a member, whatever the number of rows.
    package func panels(of member: Int) -> Range<Int> {
        panel(member, of: memberCount)..<panel(member + 1, of: memberCount)
    }

    /// Where a part ends, of so many that are equal but for a unit.
    private func panel(_ boundary: Int, of parts: Int) -> Int {
        parts == 0 ? 0 : min(boundary * unitCount / parts * panelsPerUnit, panelCount)
    }
}
