"""Lightning modules, data modules and the trainer that runs them."""

__all__ = [
    "CorrespondenceData",
    "DescriptorModule",
    "LabellingModule",
    "make_trainer",
    "resume_point",
    "training_seconds",
]


def __getattr__(name: str) -> object:
    # Lightning takes seconds to import; `import geodl` must not.
    import importlib

    rooms = {
        "CorrespondenceData": "geodl.training.data",
        "DescriptorModule": "geodl.training.descriptor",
        "LabellingModule": "geodl.training.labelling",
        "make_trainer": "geodl.training.trainer",
        "resume_point": "geodl.training.trainer",
        "training_seconds": "geodl.training.trainer",
    }
    if name not in rooms:
        raise AttributeError(f"module 'geodl.training' has no attribute {name!r}")
    return getattr(importlib.import_module(rooms[name]), name)
