"""What the server tells a host's model once, at the start; hosts put it into the prompt, so it fits on a screen."""

INSTRUCTIONS = """\
Find, outline and measure things in pictures with SAM 3: use it when a task needs exact regions, counts or positions.

1. open_image(source) -> image_id such as "img1". It is encoded once; every later question about it is cheap.
2. segment_concepts(image_id, concepts) finds EVERY instance of short noun phrases: "red car", "person", "cup".
   Give several phrases in one call. It cannot follow relations, order or reasons ("the child furthest to the right",
   "what would spoil in a hot car"): break these into plain concepts, then decide by step 4.
3. Read the scores: score = presence x object_score. Presence ("is it in the picture at all?") is a belief, not proof.
   near_misses lie under the threshold, yet their mask ids are as good as any other. Nothing found? Try a more general
   noun, a lower threshold, a region, or refine_with_exemplars ("more like m3, not like m7").
   read_presence is the cheapest question: is it there, without masks.
   segment_at outlines ONE thing that you can point at: a click, a box, or a mask to mend with further clicks.
4. measure_masks ranks masks (left to right, largest first) and tells what contains what, and the nearest neighbours:
   use it for "leftmost", "second largest", "inside"; never judge such things by eye. combine_masks adds and subtracts.
5. look shows masks, or zooms into a region at full resolution: do it before you trust small or doubtful masks.

Ids ("img1", "m7") stay valid and are never renumbered. Boxes are [x0, y0, x1, y1] in pixels of the original picture.
An error message says how to repair the call.
"""
