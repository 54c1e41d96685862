"""The table of what each ingredient of the drawn shelves brings on real ones: its variants, and what a record of it holds.

Knows nothing of how scenes are drawn or a detector is trained.
"""

from facings.benchmark.ablation import BASE, Variant

IDENTIFIER = "synth-ablation"
# Scenes of every variant, and 100 steps on them: a tenth of `detection/synthetic_to_real`, so that ten trainings fit into
# an hour.
SCENES = (
    "train_scenes=160", "val_scenes=8", "products=240", "produce_share=0", "new_share=0",
    "cameras=[front,oblique,oblique_left,walk_by]", "resolution=[768,1024]", "enrol_photos=0",
)  # fmt: skip
TRAINING = (
    "experiment=detection/synthetic_to_real", "data.samples_per_epoch=200", "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=4", "logger=csv",
)  # fmt: skip


VARIANTS: dict[str, Variant] = {
    one.name: one
    for one in (
        Variant(BASE, "the whole recipe"),
        Variant("seed_1", "the same, seed 1", seed=1),
        Variant("seed_2", "the same, seed 2", seed=2),
        Variant("no_clutter", "no people, cards, cabinets, hooks", ("people=0", "cards=0", "cabinets=0", "pegs=0")),
        Variant("tidy", "no gaps, no misplaced goods", ("gaps=0", "misplaced=0")),
        Variant("flat", "flat views without perspective", ("cameras=null", "resolution=null", "image_size=896")),
        Variant("one_scale", "one scale", (), ("transforms.crop_scale=[0.4,0.4]", "transforms.zoom_out=0")),
        Variant(
            "no_camera_faults", "no blur, noise, JPEG", (),
            ("transforms.blur=0", "transforms.noise=0", "transforms.compression=0"),
        ),
        Variant(
            "no_light", "no change of light and colour", (),
            ("transforms.brightness=0", "transforms.saturation=0", "transforms.hue=0"),
        ),
        Variant(
            "cut_outs", "the shop's own packshots among the goods",
            ("cutouts={data}/snack_shelves/packshot_masks.json", "cutout_images={data}/snack_shelves/packshots"),
        ),
    )
}  # fmt: skip

# `gain`: its AP50 minus that of the whole recipe, over the same pictures.
METRICS: dict[str, str | None] = {
    f"{name}_{figure}": None
    for name in VARIANTS
    for figure in ("ap", "ap50", "gain")
    if (name, figure) != (BASE, "gain")
}
