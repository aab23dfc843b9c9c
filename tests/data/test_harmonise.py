import numpy as np

from da_bench.data.harmonise import match_images, resize


def test_resize_keeps_flat_images_and_the_place_of_things():
    flat = np.full((1, 16, 16, 1), 77, np.uint8)
    np.testing.assert_array_equal(resize(flat, 28), np.full((1, 28, 28, 1), 77))
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[0, :8, :, 1] = 255
    resized = resize(image, 28)[0]
    assert (resized[:13, :, 1] == 255).all()
    assert (resized[15:] == 0).all()
    assert (resized[..., [0, 2]] == 0).all()


def test_grey_and_small_become_coloured_and_large():
    grey, coloured = np.full((2, 28, 28, 1), 9, np.uint8), np.zeros((3, 32, 32, 3), np.uint8)
    for ours, theirs in (match_images(grey, coloured), match_images(coloured, grey)[::-1]):
        np.testing.assert_array_equal(ours, np.full((2, 32, 32, 3), 9))
        assert theirs is coloured or (theirs == coloured).all()


def test_equal_shapes_and_features_stay_as_they_are():
    for source, target in [((2, 8, 8, 1), (3, 8, 8, 1)), ((2, 5), (2, 4)), ((2, 128, 9), (2, 64, 9))]:
        given = np.zeros(source, np.float32), np.zeros(target, np.float32)
        assert all(ours is theirs for ours, theirs in zip(match_images(*given), given, strict=True))
