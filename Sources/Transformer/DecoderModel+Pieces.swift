internal import ModelFiles
internal import StepModels
internal import Tensors

/// How members share a product, and what each fetches ahead.
extension DecoderModel {
    func pieces(
        of panelCount: Int, rowCount: Int, outputs: Int = 1
    ) -> PanelPieces {
        PanelPieces(
            panelCount: panelCount, rowCount: rowCount, memberCount: team.memberCount,
            outputs: outputs)
    }

    /// Gate and up are split alike, so that a member can multiply their outputs.
    func pieces(of group: LinearGroup, rowCount: Int) -> PanelPieces {
        group.site == .feedForwardInput
            ? pieces(of: group.weights[0].panelCount, rowCount: rowCount, outputs: 2)
            : pieces(of: group.panelCount, rowCount: rowCount)
    }

    /// What a member multiplies after a piece of its share; nil after the last.
    func upcoming(
        after piece: Int, of pieces: PanelPieces, in group: LinearGroup, for member: Int
    ) -> Upcoming? {
        team.share(of: pieces.count, for: member).contains(piece + 1)
            ? group.upcoming(panel: pieces[piece + 1].lowerBound) : nil
    }

    /// What a member multiplies first in a group; of the head when there is no group.
    func first(of group: LinearGroup?, _ pass: Pass, for member: Int) -> Upcoming? {
        guard let group else {
            let pieces = pieces(of: weights.head.panelCount, rowCount: pass.rowCount)
            let share = team.share(of: pieces.count, for: member)
            return share.isEmpty
                ? nil : Upcoming(weights: weights.head, panel: pieces[share.lowerBound].lowerBound)
        }
        guard !group.weights.isEmpty else { return nil }
        let pieces = pieces(of: group, rowCount: pass.rowCount)
        let share = team.share(of: pieces.count, for: member)
        return share.isEmpty ? nil : group.upcoming(panel: pieces[share.lowerBound].lowerBound)
    }
}
