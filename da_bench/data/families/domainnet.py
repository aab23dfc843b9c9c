"""DomainNet, the cleaned version: 345 classes in six domains; and MME's choice of 126 classes in four of them."""

from pathlib import Path

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, Family, Listing, Parts, register
from da_bench.data.file_lists import listing, read_list

# In the order of the lists' labels, which differs from Python's alphabetical order.
NAMES = """
    aircraft_carrier airplane alarm_clock ambulance angel animal_migration ant anvil apple arm asparagus axe
    backpack banana bandage barn baseball baseball_bat basket basketball bat bathtub beach bear beard bed bee belt
    bench bicycle binoculars bird birthday_cake blackberry blueberry book boomerang bottlecap bowtie bracelet brain
    bread bridge broccoli broom bucket bulldozer bus bush butterfly cactus cake calculator calendar camel camera
    camouflage campfire candle cannon canoe car carrot castle cat ceiling_fan cello cell_phone chair chandelier
    church circle clarinet clock cloud coffee_cup compass computer cookie cooler couch cow crab crayon crocodile
    crown cruise_ship cup diamond dishwasher diving_board dog dolphin donut door dragon dresser drill drums duck
    dumbbell ear elbow elephant envelope eraser eye eyeglasses face fan feather fence finger fire_hydrant fireplace
    firetruck fish flamingo flashlight flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan garden
    garden_hose giraffe goatee golf_club grapes grass guitar hamburger hammer hand harp hat headphones hedgehog
    helicopter helmet hexagon hockey_puck hockey_stick horse hospital hot_air_balloon hot_dog hot_tub hourglass
    house house_plant hurricane ice_cream jacket jail kangaroo key keyboard knee knife ladder lantern laptop leaf
    leg light_bulb lighter lighthouse lightning line lion lipstick lobster lollipop mailbox map marker matches
    megaphone mermaid microphone microwave monkey moon mosquito motorbike mountain mouse moustache mouth mug
    mushroom nail necklace nose ocean octagon octopus onion oven owl paintbrush paint_can palm_tree panda pants
    paper_clip parachute parrot passport peanut pear peas pencil penguin piano pickup_truck picture_frame pig pillow
    pineapple pizza pliers police_car pond pool popsicle postcard potato power_outlet purse rabbit raccoon radio
    rain rainbow rake remote_control rhinoceros rifle river roller_coaster rollerskates sailboat sandwich saw
    saxophone school_bus scissors scorpion screwdriver sea_turtle see_saw shark sheep shoe shorts shovel sink
    skateboard skull skyscraper sleeping_bag smiley_face snail snake snorkel snowflake snowman soccer_ball sock
    speedboat spider spoon spreadsheet square squiggle squirrel stairs star steak stereo stethoscope stitches
    stop_sign stove strawberry streetlight string_bean submarine suitcase sun swan sweater swing_set sword syringe
    table teapot teddy-bear telephone television tennis_racquet tent The_Eiffel_Tower The_Great_Wall_of_China
    The_Mona_Lisa tiger toaster toe toilet tooth toothbrush toothpaste tornado tractor traffic_light train tree
    triangle trombone truck trumpet t-shirt umbrella underwear van vase violin washing_machine watermelon waterslide
    whale wheel windmill wine_bottle wine_glass wristwatch yoga zebra zigzag
"""
LABELS = tuple(NAMES.split())
NAMES_126 = """
    aircraft_carrier alarm_clock ant anvil asparagus axe banana basket bathtub bear bee bird blackberry blueberry
    bottlecap broccoli bus butterfly cactus cake calculator camel camera candle cannon canoe carrot castle cat
    ceiling_fan cello cell_phone chair chandelier coffee_cup compass computer cow crab crocodile cruise_ship dog
    dolphin dragon drums duck dumbbell elephant eyeglasses feather fence fish flamingo flower foot fork frog giraffe
    goatee grapes guitar hammer helicopter helmet horse kangaroo lantern laptop leaf lion lipstick lobster microphone
    monkey mosquito mouse mug mushroom onion panda peanut pear peas pencil penguin pig pillow pineapple potato
    power_outlet purse rabbit raccoon rhinoceros rifle saxophone screwdriver sea_turtle see_saw sheep shoe skateboard
    snake speedboat spider squirrel strawberry streetlight string_bean submarine swan table teapot teddy-bear
    television The_Eiffel_Tower The_Great_Wall_of_China tiger toe train truck umbrella vase watermelon whale zebra
"""
LABELS_126 = tuple(NAMES_126.split())
COUNTS = {
    "clipart": {"train": 33525, "test": 14604},
    "infograph": {"train": 36023, "test": 15582},
    "painting": {"train": 50416, "test": 21850},
    "quickdraw": {"train": 120750, "test": 51750},
    "real": {"train": 120906, "test": 52041},
    "sketch": {"train": 48212, "test": 20916},
}
COUNTS_126 = {
    "clipart": {UNSPLIT: 18703},
    "painting": {UNSPLIT: 31502},
    "real": {UNSPLIT: 70358},
    "sketch": {UNSPLIT: 24582},
}
PAPER = "Peng, Bai, Xia, Huang, Saenko and Wang, Moment matching for multi-source domain adaptation, ICCV 2019"
TERMS = "non-commercial research; images under copyright, fair use"
PAGE = "http://ai.bu.edu/M3SDA/ (the cleaned version: <domain>.zip and both lists)"


def read(folder: Path, domain: str) -> Parts:
    """List the official train and test parts, from folder/<domain>_train.txt and folder/<domain>_test.txt.

    The train part of painting has no t-shirt.

    Raises:
        UserError: a list is missing or damaged, or its labels differ from the folders of its images; listed images are
            missing.
    """
    return {part: _images(folder, f"{domain}_{part}.txt", LABELS) for part in ("train", "test")}


def read_126(folder: Path, domain: str) -> Parts:
    """List the images of folder/labeled_source_images_<domain>.txt, MME's list of a domain; no official split.

    Papers on source-free adaptation use other lists, <domain>_list.txt of Chen et al. (AdaContrast, CVPR 2022): the
    same classes, without the images that the cleaned version of DomainNet leaves out, so up to 5 % fewer.

    Raises:
        UserError: as `read`.
    """
    return {UNSPLIT: _images(folder, f"labeled_source_images_{domain}.txt", LABELS_126)}


def _images(folder: Path, name: str, labels: tuple[str, ...]) -> Listing:
    names = read_list(folder / name, labels)
    for file, label in names.items():
        if file.split("/")[1:2] != [label]:
            raise UserError(f"'{folder / name}' labels '{file}' as {label}: this is another list, or not DomainNet's")
    return listing(folder, names)


FAMILY = Family(
    name="domainnet",
    read=read,
    domains=COUNTS,
    classes=tuple(sorted(LABELS)),
    citation=PAPER,
    terms=TERMS,
    how_to_get=PAGE,
    folder="domainnet",
    files=lambda domain: (f"{domain}_train.txt", f"{domain}_test.txt", domain),
    images=True,
    model="convnet",
)
FAMILY_126 = Family(
    name="domainnet126",
    read=read_126,
    domains=COUNTS_126,
    classes=tuple(sorted(LABELS_126)),
    citation=f"{PAPER}; Saito, Kim, Sclaroff, Darrell and Saenko, Semi-supervised domain adaptation via minimax "
    "entropy, ICCV 2019",
    terms=TERMS,
    how_to_get=f"{PAGE}; labeled_source_images_<domain>.txt: https://github.com/VisionLearningGroup/SSDA_MME "
    "(data/txt/multi)",
    folder="domainnet",
    files=lambda domain: (f"labeled_source_images_{domain}.txt", domain),
    images=True,
    model="convnet",
)

register(FAMILY, FAMILY_126)
